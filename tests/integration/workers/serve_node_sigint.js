// The same server with the signal handler that PM2's documentation recommends.
const server = require('./serve_node.js');

process.on('SIGINT', () => server.close(() => process.exit(0)));
