// An ES module with a top-level await before it listens, and two servers.
import cluster from 'node:cluster';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

await sleep(20);
for (const port of [process.env.PORT, process.env.SECOND_PORT]) {
  http.createServer((request, response) => {
    response.setHeader('Connection', 'close');
    response.end(JSON.stringify({ pid: process.pid, worker: cluster.isWorker, port }));
  }).listen(Number(port));
}
