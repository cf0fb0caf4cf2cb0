// A worker with a child of its own, which is no cluster worker and answers over their channel.
const { fork } = require('child_process');
const http = require('http');

if (process.argv[2] === 'child') {
  const cluster = require('cluster');
  process.on('message', () => process.send({ primary: cluster.isMaster, pid: process.pid }));
} else {
  const child = fork(__filename, ['child']);
  http.createServer((request, response) => {
    response.setHeader('Connection', 'close');
    child.once('message', (said) => response.end(JSON.stringify(said)));
    child.send('who are you?');
  }).listen(Number(process.env.PORT));
}
