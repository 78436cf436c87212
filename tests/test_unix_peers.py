#!/usr/bin/env python3
"""plait's UNIX sockets with others at the other end: curl, socat, netcat,
Python's sockets, Twisted.  What is not installed is skipped.

The last line is "N passed, N failed".
"""

import os
import socket
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import peers  # noqa: E402
import unittests  # noqa: E402
from peers import BACKENDS, TOP, TWISTED, needs, needs_twisted  # noqa: E402

DEADLINE = 30.0


def sockets():
    """Those of UNIX: the fourth word is 00010000 for one that listens."""
    with open("/proc/net/unix", encoding="ascii") as f:
        return f.read().splitlines()[1:]


class Peers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plait = peers.build(cls, "tests/unix/peer.c")

    def setUp(self):
        names = tempfile.TemporaryDirectory()
        self.addCleanup(names.cleanup)
        self.path = os.path.join(names.name, "peer")
        self.file = os.path.join(names.name, "poem")
        with open(self.file, "w", encoding="ascii") as f:
            f.write("Once upon")

    def start(self, *args, env=()):
        process = subprocess.Popen(args, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, cwd=TOP,
                                   env={**os.environ, **dict(env)})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, DEADLINE)
        self.addCleanup(process.terminate)
        return process

    def each_server(self, name):
        """plait serves there, on each backend."""
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                server = self.start(self.plait, "serve", name,
                                    env={"PLAIT_REACTOR": backend})
                self.assertEqual(server.stdout.readline(), b"listens\n")
                yield server
                server.terminate()
                self.assertEqual(server.wait(DEADLINE), 0)

    def ask(self, name, text, *file):
        """What plait prints as a client, on each backend."""
        for backend in BACKENDS:
            yield self.said(self.plait, "ask", name, text, *file,
                            env={**os.environ, "PLAIT_REACTOR": backend})

    def said(self, *args, stdin=b"", env=None):
        said = subprocess.run(args, input=stdin, check=False, cwd=TOP, env=env,
                              stdout=subprocess.PIPE, timeout=DEADLINE)
        self.assertEqual(said.returncode, 0)
        return said.stdout

    def connect(self, name):
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.settimeout(DEADLINE)
        peer.connect(name.replace("@", "\0"))
        return peer

    def listens(self, name):
        """Waits for a server that says nothing."""
        while not any(line.split()[3] == "00010000" and line.endswith(name)
                      for line in sockets()):
            os.sched_yield()

    def abstract(self):
        return "@" + self.path

    # ---- curl, netcat, socat ------------------------------------------------

    @needs("curl")
    def test_curl_asks(self):
        for _ in self.each_server(self.path):
            self.assertEqual(self.said("curl", "-s", "--unix-socket", self.path,
                                       "http://raven/"), b"Nevermore\n")

    @needs("curl")
    def test_curl_asks_an_abstract_name(self):
        for _ in self.each_server(self.abstract()):
            self.assertEqual(self.said("curl", "-s", "--abstract-unix-socket",
                                       self.path, "http://raven/"),
                             b"Nevermore\n")

    @needs("nc")
    def test_netcat_connects(self):
        for _ in self.each_server(self.path):
            self.assertEqual(self.said("nc", "-N", "-U", self.path,
                                       stdin=b"hello"), b"hello")

    @needs("nc")
    def test_netcat_listens(self):
        for backend in BACKENDS:
            server = self.start("nc", "-l", "-U", self.path)
            self.listens(self.path)
            self.said(self.plait, "ask", self.path, "hello",
                      env={**os.environ, "PLAIT_REACTOR": backend})
            self.assertEqual(server.stdout.read(), b"hello")
            os.unlink(self.path)

    @needs("socat")
    def test_socat_connects(self):
        much = bytes(range(256)) * 4000
        for _ in self.each_server(self.path):
            self.assertEqual(self.said("socat", "-t", "30", "-",
                                       "UNIX-CONNECT:" + self.path,
                                       stdin=much), much)

    @needs("socat")
    def test_socat_connects_to_an_abstract_name(self):
        for _ in self.each_server(self.abstract()):
            self.assertEqual(self.said("socat", "-t", "30", "-",
                                       "ABSTRACT-CONNECT:" + self.path,
                                       stdin=b"hello"), b"hello")

    @needs("socat")
    def test_socat_listens(self):
        self.start("socat", "UNIX-LISTEN:%s,fork" % self.path, "EXEC:cat")
        self.listens(self.path)
        for said in self.ask(self.path, "hello"):
            self.assertEqual(said, b"hello")

    @needs("socat")
    def test_socat_listens_at_an_abstract_name(self):
        self.start("socat", "ABSTRACT-LISTEN:%s,fork" % self.path, "EXEC:cat")
        self.listens(self.abstract())
        for said in self.ask(self.abstract(), "hello"):
            self.assertEqual(said, b"hello")

    # ---- Python --------------------------------------------------------------

    def test_python_hands_over_and_gets_back(self):
        for name in (self.path, self.abstract()):
            for _ in self.each_server(name):
                peer = self.connect(name)
                with open(self.file, "rb") as f:
                    socket.send_fds(peer, [b"hello"], [f.fileno()] * 64)
                data, fds, flags, _ = socket.recv_fds(peer, 100, 100)
                self.assertEqual((data, len(fds), flags & socket.MSG_CTRUNC),
                                 (b"hello", 64, 0))
                for fd in fds:
                    self.assertEqual(os.pread(fd, 100, 0), b"Once upon")
                    os.close(fd)

    def test_python_hands_over_too_many(self):
        for server in self.each_server(self.path):
            peer = self.connect(self.path)
            peer.sendall(b"x")
            self.assertEqual(peer.recv(1), b"x")
            socket.send_fds(peer, [b"hello"], [0] * 65)
            self.assertEqual(peer.recv(100), b"")
            peer.close()
            # It has no more than before, when it serves another.
            other = self.connect(self.path)
            other.sendall(b"x")
            self.assertEqual(other.recv(1), b"x")
            self.assertLess(len(os.listdir("/proc/%d/fd" % server.pid)), 12)

    def test_python_is_handed_a_file(self):
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(self.path)
        listening.listen()
        for backend in BACKENDS:
            client = self.start(self.plait, "ask", self.path, "hello",
                                self.file, env={"PLAIT_REACTOR": backend})
            peer, _ = listening.accept()
            data, fds, _, _ = socket.recv_fds(peer, 100, 100)
            self.assertEqual((data, len(fds)), (b"hello", 1))
            self.assertEqual(os.pread(fds[0], 100, 0), b"Once upon")
            socket.send_fds(peer, [b"thanks"], fds)
            os.close(fds[0])
            peer.close()
            self.assertEqual(client.stdout.read(), b"thanks[Once upon]")

    # ---- Twisted --------------------------------------------------------------

    def twisted(self, *args):
        return [TWISTED, "tests/unix/twisted_peer.py", *args]

    @needs_twisted
    def test_twisted_is_the_client(self):
        for name in (self.path, self.abstract()):
            for _ in self.each_server(name):
                self.assertEqual(self.said(*self.twisted("ask", name, "hello")),
                                 b"hello")
                self.assertEqual(self.said(*self.twisted("ask", name, "h",
                                                         self.file)),
                                 b"h[Once upon]")

    @needs_twisted
    def test_twisted_is_the_server(self):
        for name in (self.path, self.abstract()):
            server = self.start(*self.twisted("serve", name))
            self.assertEqual(server.stdout.readline(), b"listens\n")
            for said in self.ask(name, "hello"):
                self.assertEqual(said, b"hello")
            for said in self.ask(name, "h", self.file):
                self.assertEqual(said, b"h[Once upon]")

    # ---- plait ------------------------------------------------------------------

    def test_plait_is_both(self):
        for name in (self.path, self.abstract()):
            for _ in self.each_server(name):
                for said in self.ask(name, "hello", self.file):
                    self.assertEqual(said, b"hello[Once upon]")


if __name__ == "__main__":
    unittests.main()
