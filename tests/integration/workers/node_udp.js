// Answers each datagram with its pid. FAMILY is udp4 or udp6.
const dgram = require('dgram');

const socket = dgram.createSocket(process.env.FAMILY);
socket.on('message', (data, from) => socket.send(String(process.pid), from.port, from.address));
socket.bind(Number(process.env.PORT));
