// A Node HTTP server as in every first example: no signal handler, nothing about clusters.
const http = require('http');

module.exports = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const say = (value) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ ...value, pid: process.pid }));
  };
  const id = url.searchParams.get('id');
  if (url.pathname === '/version') say({ version: process.env.VERSION });
  else if (url.pathname === '/slow') setTimeout(say, Number(url.searchParams.get('ms')), { id });
  else say({ id });
}).listen(process.env.PORT);
