'use strict';
// What clusterapp is compared with: the same two answers by Node's http with express, the token by
// jsonwebtoken, the black list by ioredis. Whose token it is was put into Redis by the benchmark, as
// an application does that caches its users.
const { createSecretKey } = require('crypto');
const express = require('express');
const jwt = require('jsonwebtoken');
const Redis = require('ioredis');

// A key object: with a string jsonwebtoken tries to read a certificate first, which takes a
// millisecond per token.
const secret = createSecretKey(Buffer.from(process.env.JWT_SECRET));
const redis = new Redis(process.env.REDIS_URL);
const app = express();
app.disable('etag'); // ours sends none
app.disable('x-powered-by');

app.get('/', (request, response) => {
  response.json({ message: 'hello from express', instance: null, pid: process.pid });
});

async function authenticate(request, response, next) {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  const refuse = (code) =>
    response.status(401).json({ success: false, error: { code, message: code } });
  let claims;
  try {
    if (scheme !== 'Bearer') throw new Error('no token');
    claims = jwt.verify(token, secret, { algorithms: ['HS256'] });
  } catch {
    return refuse('TOKEN_INVALID');
  }
  const [blacklisted, ended, user] = await redis.mget(
    `blacklist:${claims.jti}`, `ended:${claims.sid}`, `bench-user:${claims.sub}`);
  if (blacklisted || ended) return refuse('TOKEN_REVOKED');
  request.user = JSON.parse(user);
  next();
}

app.get('/api/users/me', authenticate, (request, response) => {
  response.json({ success: true, data: request.user });
});

app.listen(process.env.PORT, '127.0.0.1');
