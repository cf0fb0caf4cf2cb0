// The same app, declared in JavaScript. Evaluated by node, so it may compute what it declares.
// `clusterctl start ecosystem.config.js --env production` takes env_production as well.
module.exports = {
  apps: [
    {
      name: 'node-http',
      script: 'server.js',
      max_memory_restart: '200M',
      env: { PORT: 3101, NODE_ENV: 'development' },
      env_production: { NODE_ENV: 'production' },
    },
  ],
};
