// The same server with a WebSocket: a text message TOKEN is answered by {"id": TOKEN, "pid": ...}.
// Only what a short message needs of RFC 6455.
const crypto = require('crypto');

const TEXT = 0x81;
const CLOSE = 0x88;
const PING = 0x89;
const PONG = 0x8a;

const frame = (first, data) => Buffer.concat([Buffer.from([first, data.length]), data]);

function serve(socket) {
  let inbox = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (data) => {
    inbox = Buffer.concat([inbox, data]);
    for (;;) {
      const size = inbox.length < 2 ? Infinity : 6 + (inbox[1] & 0x7f); // 4 bytes of mask
      if (inbox.length < size) return;
      const first = inbox[0];
      const text = inbox.subarray(6, size).map((byte, i) => byte ^ inbox[2 + (i % 4)]);
      inbox = inbox.subarray(size);
      if (first === TEXT) {
        const said = JSON.stringify({ id: text.toString(), pid: process.pid });
        socket.write(frame(TEXT, Buffer.from(said)));
      } else if (first === PING) {
        socket.write(frame(PONG, text));
      } else if (first === CLOSE) {
        socket.end(frame(CLOSE, text));
      } else if (first !== PONG) {
        socket.destroy();
      }
    }
  });
}

require('./serve_node.js').on('upgrade', (request, socket) => {
  const accept = crypto.createHash('sha1')
    .update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
    .digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n'
    + `Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.setNoDelay(true);
  serve(socket);
});
