// A Node HTTP server like any other: nothing in it knows about clusterctl or about the cluster
// module. Several instances of it serve the same port.
const http = require('http');

const port = Number(process.env.PORT || 3104);

http.createServer((request, response) => {
  response.setHeader('Content-Type', 'application/json');
  const said = { path: request.url, pid: process.pid, instance: process.env.NODE_APP_INSTANCE };
  response.end(JSON.stringify(said) + '\n');
}).listen(port, () => console.log(`listening on port ${port}`));
