// Official Socket.IO clients and servers, led line by line: each line of stdin is a JSON command
// {"id", "do", ...}, each line of stdout its answer {"id", "value"} or {"id", "error"}. Bytes travel as
// {"$bytes": base64}. Run with NODE_PATH at the packages.
const readline = require("readline");

const clients = new Map(); // name → {socket, log}
const crowd = [];
let server = null; // {io, log, redis}

const pack = (value) => {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array || value instanceof ArrayBuffer)
    return { $bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Error) return { $error: value.message };
  if (Array.isArray(value)) return value.map(pack);
  if (value && typeof value === "object" && !(value instanceof Date))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item)]));
  return value === undefined ? null : value;
};
const unpack = (value) => {
  if (Array.isArray(value)) return value.map(unpack);
  if (value && typeof value === "object") {
    if (typeof value.$bytes === "string") return Buffer.from(value.$bytes, "base64");
    if (typeof value.$date === "number") return new Date(value.$date);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
  }
  return value;
};

function watch(entry) {
  const { socket, log } = entry;
  socket.on("connect", () => log.push(["connect", socket.id]));
  socket.on("connect_error", (error) => log.push(["connect_error", error.message]));
  socket.on("disconnect", (reason) => log.push(["disconnect", reason]));
  socket.onAny((event, ...args) => {
    // A question of the server's: the last argument answers it.
    if (typeof args[args.length - 1] === "function") args.pop()(entry.answer);
    log.push(["event", event, ...pack(args)]);
  });
}

const commands = {
  // Clients.
  connect({ name, url, options = {}, wait = true }) {
    const { io } = require("socket.io-client");
    const { localAddress, ...rest } = unpack(options);
    const agent = localAddress && new (require("http").Agent)({ keepAlive: true, localAddress });
    const socket = io(url, { forceNew: true, reconnection: false, ...rest, ...(agent && { agent }) });
    const entry = { socket, log: [], answer: name };
    clients.set(name, entry);
    watch(entry);
    if (!wait) return null;
    return new Promise((done, failed) => {
      socket.once("connect", () => done(socket.id));
      socket.once("connect_error", (error) => failed(error));
    });
  },
  // A further namespace on the same connection.
  enter({ name, of, nsp, auth }) {
    const socket = clients.get(of).socket.io.socket(nsp, { auth });
    clients.set(name, { socket, log: [], answer: name });
    watch(clients.get(name));
    return null;
  },
  emit({ name, args }) {
    clients.get(name).socket.emit(...unpack(args));
    return null;
  },
  // Resolves with what the acknowledgement says.
  ask({ name, args, timeout = 10000 }) {
    return clients.get(name).socket.timeout(timeout).emitWithAck(...unpack(args));
  },
  // So many at once; at the second acknowledgement `pid` is asked to end. Why those failed that did.
  async burst({ name, args, count, pid, timeout }) {
    const { socket } = clients.get(name);
    let acknowledged = 0;
    const asked = Array.from({ length: count }, (_, number) =>
      socket.timeout(timeout).emitWithAck(...unpack(args), number).then((answer) => {
        if (++acknowledged === 2) process.kill(pid, "SIGTERM");
        return answer.success ? null : answer.error.code;
      }, (error) => error.message));
    return (await Promise.all(asked)).filter((reason) => reason !== null);
  },
  log({ name }) {
    return clients.get(name).log;
  },
  forget({ name }) {
    clients.get(name).log.length = 0;
    return null;
  },
  state({ name }) {
    const { socket } = clients.get(name);
    const engine = socket.io.engine;
    return { connected: socket.connected, id: socket.id || null,
             transport: engine ? engine.transport.name : null, sid: engine ? engine.id : null };
  },
  // Answers no ping any more.
  deafen({ name }) {
    const { engine } = clients.get(name).socket.io;
    const send = engine._sendPacket.bind(engine);
    engine._sendPacket = (type, ...rest) => type === "pong" || send(type, ...rest);
    return null;
  },
  // Reads nothing any more, so that what it is sent fills the buffers between.
  stall({ name }) {
    clients.get(name).socket.io.engine.transport.ws._socket.pause();
    return null;
  },
  close({ name }) {
    clients.get(name).socket.disconnect();
    return null;
  },
  // Many that only sit there.
  async crowd({ count, url, options = {} }) {
    const { io } = require("socket.io-client");
    for (let i = 0; i < count; i += 50) {
      const some = Array.from({ length: Math.min(50, count - i) }, () =>
        io(url, { forceNew: true, reconnection: false, ...options }));
      crowd.push(...some);
      await Promise.all(some.map((socket) => new Promise((done, failed) => {
        socket.once("connect", done);
        socket.once("connect_error", failed);
      })));
    }
    return crowd.filter((socket) => socket.connected).length;
  },
  crowd_size() {
    return crowd.filter((socket) => socket.connected).length;
  },

  // A server with the official adapter, on one Redis or on a Cluster (its URLs).
  async serve({ redis, cluster, password, port = 0 }) {
    const { Server } = require("socket.io");
    const { createAdapter } = require("@socket.io/redis-adapter");
    const { createClient, createCluster } = require("redis");
    const pub = cluster
      ? createCluster({ rootNodes: cluster.map((url) => ({ url })), defaults: { password } })
      : createClient({ url: redis });
    const sub = pub.duplicate();
    for (const client of [pub, sub]) client.on("error", () => {});
    await Promise.all([pub.connect(), sub.connect()]);
    const io = new Server(port, { adapter: createAdapter(pub, sub, { requestsTimeout: 3000 }) });
    server = { io, log: [] };
    io.on("connection", (socket) => {
      socket.on("join", (room, ack) => { socket.join(room); if (ack) ack("joined"); });
      socket.on("message", (data, ack) => { io.emit("message", data); if (ack) ack("sent"); });
    });
    io.on("hello", (...args) => {
      const ack = typeof args[args.length - 1] === "function" ? args.pop() : null;
      server.log.push(args);
      if (ack) ack("node");
    });
    if (!io.httpServer.listening) await new Promise((done) => io.httpServer.once("listening", done));
    return io.httpServer.address().port;
  },
  server_emit({ rooms = [], except = [], nsp = "/", args, local }) {
    let to = server.io.of(nsp);
    if (rooms.length) to = to.to(rooms);
    if (except.length) to = to.except(except);
    if (local) to = to.local;
    to.emit(...unpack(args));
    return null;
  },
  server_ask({ rooms = [], args, timeout = 3000 }) {
    let to = server.io.timeout(timeout);
    if (rooms.length) to = to.to(rooms);
    return to.emitWithAck(...unpack(args));
  },
  async fetch({ rooms = [] }) {
    const from = rooms.length ? server.io.in(rooms) : server.io;
    return (await from.fetchSockets()).map((socket) => ({
      id: socket.id, rooms: [...socket.rooms], address: socket.handshake.address,
    }));
  },
  async all_rooms() {
    return [...(await server.io.of("/").adapter.allRooms())];
  },
  sockets_join({ rooms, to }) {
    server.io.in(rooms).socketsJoin(to);
    return null;
  },
  sockets_leave({ rooms, to }) {
    server.io.in(rooms).socketsLeave(to);
    return null;
  },
  disconnect({ rooms, close }) {
    server.io.in(rooms).disconnectSockets(close);
    return null;
  },
  server_side({ args }) {
    return server.io.serverSideEmitWithAck(...args);
  },
  server_log() {
    return server.log;
  },
};

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { id: command.id, value: pack(await commands[command.do](command)) };
  } catch (error) {
    answer = { id: command.id, error: String(error.message || error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}).on("close", () => process.exit(0));
