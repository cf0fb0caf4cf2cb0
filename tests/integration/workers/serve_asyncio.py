#!/usr/bin/env python3
"""HTTP by asyncio on the sockets that it was given (LISTEN_FDS). SIGINT and SIGTERM end it once the
requests under way are answered; connections with nothing under way end with the process."""
import asyncio
import json
import os
import signal
import socket
import urllib.parse


class Server:
    def __init__(self):
        self.answering = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def answer(self, target):
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/version":
            return {"version": os.environ.get("VERSION"), "pid": os.getpid()}
        if url.path == "/slow":
            await asyncio.sleep(int(query["ms"]) / 1000)
        return {"id": query.get("id"), "pid": os.getpid()}

    async def serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.answering += 1
                self.idle.clear()
                try:
                    close = "connection: close" in head.lower()
                    body = json.dumps(await self.answer(head.split()[1])).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s"
                                 b"Content-Length: %d\r\n\r\n"
                                 % (b"Connection: close\r\n" if close else b"", len(body)) + body)
                    await writer.drain()
                finally:
                    self.answering -= 1
                    if not self.answering:
                        self.idle.set()
                if close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()


async def main():
    server, stop = Server(), asyncio.Event()
    for number in signal.SIGINT, signal.SIGTERM:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listeners = [await asyncio.start_server(server.serve, sock=socket.socket(fileno=3 + number))
                 for number in range(int(os.environ["LISTEN_FDS"]))]
    await stop.wait()
    for listener in listeners:
        listener.close()
    while server.answering:  # a pipelined request may follow the one that has just been answered
        await server.idle.wait()


asyncio.run(main())
