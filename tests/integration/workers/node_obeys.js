// Serves HTTP on PORT, if there is one; while the file SICK.INSTANCE is there, every answer is 503.
// Says that it is ready once the file GO is there. Writes to the file TOLD what reaches it: each
// message as JSON, each SIGINT by its name; the message "shutdown" ends it.
const fs = require('fs');
const http = require('http');

const { GO, NODE_APP_INSTANCE, PORT, SICK, TOLD } = process.env;

if (PORT) {
  http.createServer((request, response) => {
    const status = fs.existsSync(`${SICK}.${NODE_APP_INSTANCE}`) ? 503 : 200;
    console.log(status, request.url);
    response.writeHead(status, { Connection: 'close' });
    response.end(String(process.pid));
  }).listen(Number(PORT));
} else {
  setInterval(() => {}, 1000); // it has nothing else to live for
}

function look() {
  if (fs.existsSync(GO)) process.send('ready');
  else setTimeout(look, 10);
}
if (GO) look();

if (TOLD) {
  process.on('message', (message) => {
    fs.appendFileSync(TOLD, `${JSON.stringify(message)}\n`);
    if (message === 'shutdown') process.exit(0);
  });
  process.on('SIGINT', () => fs.appendFileSync(TOLD, 'SIGINT\n'));
}
