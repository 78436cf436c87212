#!/usr/bin/env python3
"""plait's UDP with others at the other end: socat, netcat, Python's sockets and
asyncio, Twisted.  What is not installed is skipped, and named.

The last line is "N passed, N failed".
"""

import os
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
import peers  # noqa: E402
import unittests  # noqa: E402
from peers import BACKENDS, TOP, TWISTED, needs, needs_twisted  # noqa: E402

ADDRESSES = ("127.0.0.1", "::1")
DEADLINE = 30.0

ASYNCIO_SERVER = """
import asyncio, sys

class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
        print(transport.get_extra_info("sockname")[1], flush=True)

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)

async def main():
    await asyncio.get_running_loop().create_datagram_endpoint(
        Echo, local_addr=(sys.argv[1], 0))
    await asyncio.Event().wait()

asyncio.run(main())
"""

TWISTED_SERVER = """
import sys
from twisted.internet import protocol, reactor

class Echo(protocol.DatagramProtocol):
    def datagramReceived(self, data, address):
        self.transport.write(data, address)

port = reactor.listenUDP(0, Echo(), interface=sys.argv[1])
print(port.getHost().port, flush=True)
reactor.run()
"""

TWISTED_CLIENT = """
import sys
from twisted.internet import protocol, reactor

class Ask(protocol.DatagramProtocol):
    texts = [t.encode() for t in sys.argv[3:]]

    def startProtocol(self):
        self.transport.connect(sys.argv[1], int(sys.argv[2]))
        self.ask()

    def ask(self):
        if self.texts:
            self.transport.write(self.texts.pop(0))
        else:
            reactor.stop()

    def datagramReceived(self, data, address):
        assert address[:2] == (sys.argv[1], int(sys.argv[2]))
        print(data.decode(), flush=True)
        self.ask()

reactor.listenUDP(0, Ask(), interface="::1" if ":" in sys.argv[1] else "")
reactor.run()
"""


def port_of(process):
    """The port of a program that does not say it: once it has a socket."""
    while process.poll() is None:
        sockets = set()
        for fd in os.listdir(f"/proc/{process.pid}/fd"):
            try:
                sockets.add(os.readlink(f"/proc/{process.pid}/fd/{fd}"))
            except FileNotFoundError:
                pass
        for name in "udp", "udp6":
            with open(f"/proc/{process.pid}/net/{name}", encoding="ascii") as f:
                for line in f.read().splitlines()[1:]:
                    words = line.split()
                    if f"socket:[{words[9]}]" in sockets:
                        return int(words[1].rsplit(":", 1)[1], 16)
        os.sched_yield()
    raise AssertionError("the server has ended")


class Peers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plait = peers.build(cls, "tests/udp/peer.c")

    def start(self, *args, stdin=subprocess.DEVNULL, backend="epoll"):
        process = subprocess.Popen(args, stdin=stdin, stdout=subprocess.PIPE,
                                   cwd=TOP,
                                   env={**os.environ, "PLAIT_REACTOR": backend})
        for pipe in process.stdout, process.stdin:
            if pipe is not None:
                self.addCleanup(pipe.close)
        self.addCleanup(process.wait, DEADLINE)
        self.addCleanup(process.terminate)
        return process

    def each_server(self):
        """plait serves, on each backend and each address."""
        for backend in BACKENDS:
            for ip in ADDRESSES:
                with self.subTest(backend=backend, ip=ip):
                    server = self.start(self.plait, "serve", ip, backend=backend)
                    yield ip, server.stdout.readline().decode().strip()
                    server.terminate()
                    self.assertEqual(server.wait(DEADLINE), 0)

    def asks(self, ip, port, *texts):
        """plait asks, on each backend, and hears the same."""
        for backend in BACKENDS:
            with self.subTest(backend=backend, ip=ip):
                self.assertEqual(
                    self.said(self.plait, "ask", ip, str(port), *texts,
                              backend=backend).decode(),
                    "".join(text + "\n" for text in texts))

    def said(self, *args, backend="epoll"):
        said = subprocess.run(args, check=False, cwd=TOP, timeout=DEADLINE,
                              env={**os.environ, "PLAIT_REACTOR": backend},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(said.returncode, 0)
        return said.stdout

    def talks(self, *args):
        """A program that sends what it reads, and writes what it hears."""
        client = self.start(*args, stdin=subprocess.PIPE)
        for line in b"hello\n", b"x" * 1000 + b"\n":
            client.stdin.write(line)
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), line)

    # ---- netcat, socat -------------------------------------------------------

    @needs("nc")
    def test_netcat_asks(self):
        for ip, port in self.each_server():
            self.talks("nc", "-u", ip, port)

    @needs("nc")
    def test_netcat_hears(self):
        for ip in ADDRESSES:
            server = self.start("nc", "-l", "-u", ip, "0",
                                stdin=subprocess.PIPE)
            client = self.start(self.plait, "ask", ip, str(port_of(server)),
                                "hello\n")
            self.assertEqual(server.stdout.readline(), b"hello\n")
            server.stdin.write(b"answer")
            server.stdin.flush()
            self.assertEqual(client.stdout.read(), b"answer\n")

    @needs("socat")
    def test_socat_asks(self):
        for ip, port in self.each_server():
            family, host = ("6", f"[{ip}]") if ":" in ip else ("4", ip)
            self.talks("socat", "-", f"UDP{family}:{host}:{port}")

    @needs("socat")
    def test_socat_answers(self):
        for ip in ADDRESSES:
            family, host = ("6", f"[{ip}]") if ":" in ip else ("4", ip)
            server = self.start(
                "socat", f"UDP{family}-RECVFROM:0,bind={host},fork",
                "SYSTEM:'cat'")
            self.asks(ip, port_of(server), "hello", "world")

    # ---- Python --------------------------------------------------------------

    def test_a_socket_of_python_asks(self):
        for ip, port in self.each_server():
            with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET,
                               socket.SOCK_DGRAM) as client:
                client.settimeout(DEADLINE)
                client.connect((ip, int(port)))
                for data in b"hello", b"", bytes(60000):
                    client.send(data)
                    self.assertEqual(client.recv(65535), data)

    # asyncio sends no empty datagrams.
    def test_asyncio_answers(self):
        for ip in ADDRESSES:
            server = self.start(sys.executable, "-c", ASYNCIO_SERVER, ip)
            self.asks(ip, int(server.stdout.readline()), "hello", "world")

    def test_a_port_that_nobody_has_refuses(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
            held.bind(("127.0.0.1", 0))
            held.connect(("127.0.0.1", 9))  # so it is for nobody else
            for backend in BACKENDS:
                self.assertEqual(
                    self.said(self.plait, "ask", "127.0.0.1",
                              str(held.getsockname()[1]), "hello",
                              backend=backend), b"refused\n")

    # ---- Twisted -------------------------------------------------------------

    @needs_twisted
    def test_twisted_answers(self):
        for ip in ADDRESSES:
            server = self.start(TWISTED, "-c", TWISTED_SERVER, ip)
            self.asks(ip, int(server.stdout.readline()), "hello", "", "world")

    @needs_twisted
    def test_twisted_asks(self):
        for ip, port in self.each_server():
            self.assertEqual(self.said(TWISTED, "-c", TWISTED_CLIENT, ip, port,
                                       "hello", "", "world"),
                             b"hello\n\nworld\n")


unittests.main()
