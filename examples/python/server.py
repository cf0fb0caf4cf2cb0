#!/usr/bin/env python3
"""An asyncio HTTP server that takes its listening socket from clusterctl.

Several workers accept on the same socket, and it stays open while they restart, so no client is
refused. Without LISTEN_FDS it binds PORT itself.
"""
import asyncio
import json
import os
import signal
import socket

FIRST_PASSED_FD = 3  # see sd_listen_fds(3)


def listening_socket():
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and int(os.environ["LISTEN_FDS"]) > 0:
        return socket.socket(fileno=FIRST_PASSED_FD)
    return socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "3102"))))


class Server:
    def __init__(self):
        self.answering = set()

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.answering.add(task)
        try:
            request = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=10)
            path = request.split()[1].decode(errors="replace")
            body = json.dumps({"path": path, "pid": os.getpid(), "from": "python",
                               "instance": os.environ.get("NODE_APP_INSTANCE")}) + "\n"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                         b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
                         + body.encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError,
                ConnectionError, IndexError):
            pass  # not a request, or the client has gone
        finally:
            writer.close()
            self.answering.discard(task)


async def main():
    server = Server()
    listener = await asyncio.start_server(server.serve, sock=listening_socket())
    stop = asyncio.Event()
    for number in signal.SIGINT, signal.SIGTERM:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("listening", flush=True)

    await stop.wait()
    listener.close()  # the socket itself stays open for the other workers
    await asyncio.gather(*server.answering)
    print("bye", flush=True)


asyncio.run(main())
