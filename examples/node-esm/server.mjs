// An ES module that says itself when it is ready: a worker that still warms up gets no requests, and
// a reload waits for it. Nothing else in it knows about clusterctl.
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';

const port = Number(process.env.PORT || 3105);

const server = createServer((request, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ path: request.url, pid: process.pid }) + '\n');
});

await setTimeout(200); // in place of a connection to a database, a cache to be filled
server.listen(port, () => process.send?.('ready'));
