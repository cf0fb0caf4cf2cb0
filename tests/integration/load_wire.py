"""The bytes of a load: connections that know how they ended, HTTP/1.1 answers, WebSocket frames.

Sockets are used without buffering by anybody else, so that refused, reset, ended and cut are told
apart exactly as the kernel reports them.
"""

import asyncio
import base64
import errno
import hashlib
import os
import socket
import time
from typing import NamedTuple

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10  # opcodes of RFC 6455, section 5.2
NO_CLOSE_FRAME = 1006
KEY_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HEAD_LIMIT = 65536


class Lost(Exception):
    """A request without a good answer: at which stage, and what happened there."""

    def __init__(self, stage, cause, detail=""):
        super().__init__(stage, cause, detail)
        self.stage = stage
        self.cause = cause
        self.detail = detail


class Answer(NamedTuple):
    status: int
    headers: dict  # lower-case names
    body: bytes
    close: bool  # the other side will not read another request


async def ready_until(watch, unwatch, fd, until):
    """Waits until the loop finds `fd` ready. False when the time is over first."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def settle(value):
        if not future.done():
            future.set_result(value)
    watch(fd, settle, True)
    timer = loop.call_at(until, settle, False)
    try:
        return await future
    finally:
        timer.cancel()
        unwatch(fd)


async def connect(address, timeout):
    """A Connection to (host, port) or to the path of a Unix socket."""
    until = time.monotonic() + timeout
    family = (socket.AF_UNIX if isinstance(address, str)
              else socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await finish_connect(sock, address, until)
        return Connection(sock)
    except BaseException:
        sock.close()
        raise


async def finish_connect(sock, address, until):
    loop = asyncio.get_running_loop()
    while (code := sock.connect_ex(address)) == errno.EAGAIN:
        # A Unix socket whose backlog is full; a blocking connect would wait (man 2 connect).
        if time.monotonic() > until:
            raise Lost("connect timeout", "backlog full")
        await asyncio.sleep(0.001)
    if code == errno.EINPROGRESS:
        if not await ready_until(loop.add_writer, loop.remove_writer, sock.fileno(), until):
            raise Lost("connect timeout", "no answer")
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        stage = "connect refused" if code == errno.ECONNREFUSED else "connect failed"
        raise Lost(stage, errno.errorcode[code], os.strerror(code))


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.inbox = bytearray()
        self.answers = 0  # complete ones so far: none means a fresh connection
        self.pid = None  # who gave the last answer
        self.partial = False  # bytes of the next answer have come
        name = sock.getsockname()
        self.local_port = name[1] if isinstance(name, tuple) else None

    def close(self):
        self.sock.close()

    def readable(self, until):
        loop = asyncio.get_running_loop()
        return ready_until(loop.add_reader, loop.remove_reader, self.sock.fileno(), until)

    def closed_by_peer(self):
        """ "eof" or "reset" when the connection has ended while nothing was asked, else None."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            data = None
        except OSError:
            return "reset"
        if data or self.inbox:
            raise Lost("malformed", "unasked bytes", repr(bytes(self.inbox) + (data or b"")))
        return "eof" if data == b"" else None

    def send(self, data):
        """Small enough for any socket buffer, so it is sent whole or not at all."""
        self.partial = False
        try:
            sent = self.sock.send(data)
        except OSError as error:
            raise Lost("before answer", "reset", f"send: {error.strerror}") from None
        if sent != len(data):
            raise AssertionError(f"{sent} of {len(data)} bytes fit into the socket")

    async def fill(self, until, eof_is_end=False):
        """Reads more into the inbox; False at an end that is allowed."""
        while True:
            try:
                data = self.sock.recv(262144)
                break
            except BlockingIOError:
                if not await self.readable(until):
                    where = "in answer" if self.partial else "before answer"
                    raise Lost("timeout", where) from None
            except OSError as error:
                raise self.cut("reset", error.strerror) from None
        if not data and not eof_is_end:
            raise self.cut("eof")
        self.partial = self.partial or bool(data)
        self.inbox += data
        return bool(data)

    def cut(self, cause, detail=""):
        return Lost("in answer" if self.partial else "before answer", cause, detail)

    def take(self, size):
        data = bytes(self.inbox[:size])
        del self.inbox[:size]
        return data

    async def read(self, size, until):
        while len(self.inbox) < size:
            await self.fill(until)
        return self.take(size)

    async def read_through(self, mark, until):
        """Everything before `mark`, which is dropped."""
        while (end := self.inbox.find(mark)) < 0:
            if len(self.inbox) > HEAD_LIMIT:
                raise Lost("malformed", "endless head")
            await self.fill(until)
        data = self.take(end)
        del self.inbox[:len(mark)]
        return data

    async def read_answer(self, until):
        """The next whole answer (RFC 9112, sections 4 to 7 and 9.6)."""
        self.partial = bool(self.inbox)
        version, status, headers = parse_head(await self.read_through(b"\r\n\r\n", until))
        wishes = headers.get("connection", "").lower()
        close = "close" in wishes or (version == "HTTP/1.0" and "keep-alive" not in wishes)
        try:
            if status == 101:
                body = b""
            elif headers.get("transfer-encoding", "").lower() == "chunked":
                body = await self.read_chunks(until)
            elif "content-length" in headers:
                body = await self.read(int(headers["content-length"]), until)
            else:
                close = True
                while await self.fill(until, eof_is_end=True):
                    pass
                body = self.take(len(self.inbox))
        except ValueError as error:
            raise Lost("malformed", "bad length", str(error)) from None
        self.answers += 1
        self.partial = False
        return Answer(status, headers, body, close)

    async def read_chunks(self, until):
        body = b""
        while size := int((await self.read_through(b"\r\n", until)).partition(b";")[0], 16):
            body += await self.read(size, until)
            if await self.read(2, until) != b"\r\n":
                raise Lost("malformed", "chunk without an end")
        while await self.read_through(b"\r\n", until):
            pass
        return body

    async def read_message(self, until):
        """(TEXT, bytes), or (CLOSE, code) when the other side says so. A ping is answered."""
        self.partial = bool(self.inbox)
        while True:
            first, second = await self.read(2, until)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(await self.read(2 if size == 126 else 8, until), "big")
            data = await self.read(size, until)
            if first == 0x80 | PING:
                self.send(frame(PONG, data))
            elif first == 0x80 | CLOSE:
                self.send(frame(CLOSE, data))
                return CLOSE, int.from_bytes(data[:2], "big") or 1005
            elif first == 0x80 | TEXT:
                self.answers += 1
                self.partial = False
                return TEXT, data
            else:
                raise Lost("malformed", "unexpected frame", f"first byte {first:#x}")

    async def read_close(self, until):
        """The close code when no message is awaited; 1006 is an end without one."""
        try:
            kind, value = await self.read_message(until)
        except Lost as lost:
            if lost.stage == "before answer":
                return NO_CLOSE_FRAME
            raise
        if kind != CLOSE:
            raise Lost("malformed", "unasked message", repr(value))
        return value


def parse_head(head):
    """(version, status, headers with lower-case names)."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
        raise Lost("malformed", "no HTTP answer", repr(first[:200]))
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return version, int(rest[:3]), headers


def frame(opcode, data):
    """A masked frame, as a client must send it; `data` is shorter than 126 bytes."""
    mask = os.urandom(4)
    return (bytes([0x80 | opcode, 0x80 | len(data)]) + mask
            + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))


async def open_websocket(connection, path, until):
    """The opening handshake, RFC 6455 section 4.1."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.send(f"GET {path} HTTP/1.1\r\nHost: load\r\nUpgrade: websocket\r\n"
                    f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    f"Sec-WebSocket-Key: {key}\r\n\r\n".encode())
    answer = await connection.read_answer(until)
    if answer.status != 101:
        raise Lost("status", str(answer.status), repr(answer.body[:200]))
    want = base64.b64encode(hashlib.sha1((key + KEY_SALT).encode()).digest()).decode()
    if answer.headers.get("sec-websocket-accept") != want:
        raise Lost("malformed", "wrong Sec-WebSocket-Accept", str(answer.headers))
