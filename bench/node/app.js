'use strict';
const http = require('http');

const body = JSON.stringify({ pid: process.pid });
http
  .createServer((request, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(body);
  })
  .listen(process.env.PORT, '127.0.0.1');
