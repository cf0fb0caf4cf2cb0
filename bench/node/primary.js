'use strict';
// Node's own cluster with two workers; NODE_CLUSTER_SCHED_POLICY=none makes them share the socket.
const cluster = require('cluster');

cluster.setupPrimary({ exec: process.argv[2] });
cluster.fork();
cluster.fork();
process.on('SIGTERM', () => process.exit(0));
