// A Node program with a channel to its parent, in either mode. READY_AFTER: milliseconds until it
// says 'ready'. PORT: it serves there (with LISTEN_AFTER only so many milliseconds later). ONCE: it
// ends when its script does. Messages go to stdout; "shutdown" ends it with exit code 7.
const cluster = require('cluster');
const http = require('http');

const later = (name, what) => {
  if (process.env[name] !== undefined) setTimeout(what, Number(process.env[name]));
};

console.log(JSON.stringify({ worker: cluster.isWorker, connected: process.connected }));
later('READY_AFTER', () => process.send('ready'));
if (process.env.PORT) {
  const server = http.createServer((request, response) => {
    response.setHeader('Connection', 'close');
    response.end(JSON.stringify({ pid: process.pid, from: request.socket.remoteAddress }));
  });
  setTimeout(() => server.listen(Number(process.env.PORT)), Number(process.env.LISTEN_AFTER || 0));
}
if (!process.env.ONCE) {
  setInterval(() => {}, 1000);
  process.on('SIGINT', () => process.exit(0));
  process.on('disconnect', () => console.log('disconnected'));
  process.on('message', (message) => {
    console.log(JSON.stringify({ message }));
    if (message === 'shutdown') process.exit(7);
  });
}
