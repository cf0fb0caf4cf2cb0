// An HTTP server that knows nothing of clusterctl. LISTEN_ON is a port, "0", HOST:PORT or a path.
// Routes: / says who answers; /slow waits a second; /work
// keeps the CPU for 3 ms; the others do what their name says.
const cluster = require('cluster');
const fs = require('fs');
const http = require('http');

const [, host, port] = /^(?:(.+):)?(\d+)$/.exec(process.env.LISTEN_ON) || [];
const where = port === undefined ? { path: process.env.LISTEN_ON } : { port: Number(port), host };

const server = http.createServer((request, response) => {
  const say = (value) => response.end(JSON.stringify(value));
  const routes = {
    '/work': () => {
      const end = process.hrtime.bigint() + 3000000n;
      while (process.hrtime.bigint() < end);
      say({ pid: process.pid });
    },
    '/never': () => {},
    '/slow': () => setTimeout(() => say({ pid: process.pid }), 1000),
    '/disconnect': () => { say({ pid: process.pid }); cluster.worker.disconnect(); },
    '/relisten': () => { say({ pid: process.pid }); server.close(() => server.listen(where)); },
    '/close': () => { say({ pid: process.pid }); server.close(); },
    '/again': () => {
      const second = http.createServer();
      second.on('error', (error) => say({ error: error.code }));
      second.listen(where, () => say({ error: null }));
    },
  };
  response.setHeader('Connection', 'close');
  (routes[request.url] || (() => say({
    pid: process.pid,
    worker: cluster.isWorker && cluster.worker.id,
    primary: cluster.isMaster,
    leaked: Object.keys(process.env).filter((name) => /^NODE_(CHANNEL|UNIQUE)/.test(name)),
    argv: process.argv.slice(1),
  })))();
});

server.on('error', (error) => {
  console.log(`error ${error.code}`);
  setInterval(() => {}, 1000);
});
server.listen(where, () => {
  const address = server.address();
  console.log(`listening ${address.port || address}`);
  process.send('ready');
});
if (process.env.BUSY) setInterval(() => {}, 1000); // something else keeps it alive
if (process.env.ON_SIGINT) {
  process.on('SIGINT', () => {
    fs.writeFileSync(process.env.ON_SIGINT, 'told');
    process.exit(0);
  });
}
