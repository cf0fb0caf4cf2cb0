// Instance 0 sends 100 MB of messages of every kind to its parent and a socket in between; all
// instances serve. DONE is the file that says it is through.
const fs = require('fs');
const http = require('http');
const net = require('net');

http.createServer((request, response) => {
  response.setHeader('Connection', 'close');
  response.end(JSON.stringify({ pid: process.pid }));
}).listen(Number(process.env.PORT), () => {
  if (process.env.NODE_APP_INSTANCE === '0') talk(0);
});

const messages = ['ready', { type: 'process:msg', data: 'x'.repeat(1000) }, 'y'.repeat(300000),
  { cmd: 'NODE_STRANGE', act: 'x' }, { cmd: 'NODE_CLUSTER', act: 'nonsense' }, 42, true, [1, 2]];

function talk(sent) {
  if (sent >= 100e6) {
    const server = net.createServer().listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
      process.send('a socket', server, () => process.send('after it', () => {
        server.close();
        fs.writeFileSync(process.env.DONE, String(sent));
      }));
    });
    return;
  }
  let size = 0;
  for (const message of messages) size += JSON.stringify(message).length;
  for (const message of messages.slice(1)) process.send(message);
  process.send(messages[0], () => talk(sent + size));
}
