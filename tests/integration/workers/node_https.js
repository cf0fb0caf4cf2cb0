// Sends back what it is sent, over TLS. KEY and CERT are files.
const fs = require('fs');
const https = require('https');

const options = { key: fs.readFileSync(process.env.KEY), cert: fs.readFileSync(process.env.CERT) };
https.createServer(options, (request, response) => {
  response.writeHead(200, { 'X-Pid': process.pid, Connection: 'close' });
  request.pipe(response);
}).listen(Number(process.env.PORT));
