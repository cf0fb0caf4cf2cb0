// A Node HTTP server like any other: nothing in it knows about clusterctl.
const http = require('http');

const port = Number(process.env.PORT || 3101);

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ path: request.url, pid: process.pid, from: 'node' }) + '\n');
});

server.listen(port, '127.0.0.1', () => console.log(`listening on port ${port}`));

// SIGINT is what clusterctl sends first. Finish what is in flight, then go.
process.on('SIGINT', () => server.close(() => console.log('bye')));
