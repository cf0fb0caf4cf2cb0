#!/usr/bin/env python3
"""What the other tests rely on without looking."""
import pathlib
import socket
import subprocess
import sys
import unittest

from harness import free_port

TAKE = "from harness import free_port; print(*(free_port() for _ in range(300)), flush=True); input()"


class Ports(unittest.TestCase):
    def test_those_of_tests_at_the_same_time_differ_and_are_no_ports_of_clients(self):
        others = [subprocess.Popen([sys.executable, "-c", TAKE], text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, cwd=pathlib.Path(__file__).parent)
                  for _ in range(8)]
        ports = [int(port) for other in others for port in other.stdout.readline().split()]
        for other in others:
            other.communicate("\n", timeout=20)
        self.assertEqual(len(set(ports)), 8 * 300)
        lowest = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
        self.assertLess(max(ports), int(lowest))

    def test_a_twin_is_free_too(self):
        port = free_port(twin=10_000)
        for one in (port, port + 10_000):
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", one))


if __name__ == "__main__":
    unittest.main()
