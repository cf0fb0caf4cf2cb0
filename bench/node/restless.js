'use strict';
// An app that takes a few milliseconds per request, and one of three ways to end, as KIND says:
// "graceful" ends when it has answered all and says when it is ready, "naive" only stops to listen,
// "none" has no handler. With LEAK each request costs so many KiB for good.
const http = require('http');

const kept = [];
const leak = Number(process.env.LEAK || 0) * 1024;
const body = JSON.stringify({ pid: process.pid });
const server = http.createServer((request, response) => {
  if (leak) kept.push(Buffer.alloc(leak, 1));
  setTimeout(() => response.end(body), 3);
});
if (process.env.KIND === 'graceful') process.on('SIGINT', () => server.close(() => process.exit(0)));
if (process.env.KIND === 'naive') process.on('SIGINT', () => server.close());
server.listen(process.env.PORT, '127.0.0.1', () => process.send && process.send('ready'));
