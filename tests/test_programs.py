#!/usr/bin/env python3
"""The sample programs, from outside: started as processes, on each backend,
with this script as their peers.

usage: test_programs.py [--build DIR] [-j N] [NAME...]

Nothing here sleeps to let something happen: a test waits for a line of output,
for bytes or for the end of a connection, each with a deadline that is only
reached when something is wrong.  A program that writes to standard error
without being asked to has failed its test, so a sanitizer's report is a
failure too.  NAME picks tests whose name contains it.  The last line is
"N passed, N failed".
"""

import argparse
import concurrent.futures
import json
import os
import pty
import queue
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
POEMS = os.path.join(TOP, "samples", "poetry")
BACKENDS = ("epoll", "select")
DEADLINE = 30.0  # seconds; far more than anything takes
BUILD = None     # the directory of the programs, set by main()

SERVERS = {
    "slowpoetry": [os.path.join(POEMS, "ecstasy.txt")],
    "fastpoetry": [os.path.join(POEMS, "ecstasy.txt")],
    "transformedpoetry": [],
    "poetry-proxy": ["1"],
    "echo": [],
    "guarded-echo": [],
    "chat": [],
}
UDP_SERVERS = ["udp-echo"]
DEFER_CANCEL = ["defer-cancel-%d" % i for i in range(1, 14)]
ALL = DEFER_CANCEL + list(SERVERS) + UDP_SERVERS + [
    "get-poetry", "ticker", "demo", "deferred-simulator", "simulated-test",
    "resolve", "whoami", "portforward", "checksum", "supervise", "tail-f",
    "console"]


def poem(name):
    with open(os.path.join(POEMS, name + ".txt"), "rb") as f:
        return f.read()


class Process:
    """A program that runs, and the lines that it has printed so far."""

    def __init__(self, argv, more_env=(), stdin=b""):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith("PLAIT_")}
        env.update(more_env)
        with tempfile.TemporaryFile() as f:
            f.write(stdin)
            f.seek(0)
            self.popen = subprocess.Popen(argv, stdin=f,
                                          stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE,
                                          cwd=TOP, env=env)
        self.pid = self.popen.pid
        self.lines = queue.Queue()
        self.out = b""
        self.err = b""
        self.readers = [threading.Thread(target=self.read_out, daemon=True),
                        threading.Thread(target=self.read_err, daemon=True)]
        for reader in self.readers:
            reader.start()

    def read_out(self):
        for line in self.popen.stdout:
            self.out += line
            self.lines.put(line.decode().rstrip("\n"))
        self.lines.put(None)

    def read_err(self):
        for line in self.popen.stderr:
            self.err += line

    def line(self):
        """The next line of output."""
        try:
            line = self.lines.get(timeout=DEADLINE)
        except queue.Empty:
            raise AssertionError("no line; so far: %r" % self.out) from None
        if line is None:
            raise AssertionError("no line more; all: %r, errors: %r"
                                 % (self.out, self.err))
        return line

    def rest(self):
        """The lines up to the end that were not read yet."""
        return list(iter(lambda: self.lines.get(timeout=DEADLINE), None))

    def signal(self, number):
        self.popen.send_signal(number)

    def status(self):
        """Waits for its end; its exit status."""
        status = self.popen.wait(timeout=DEADLINE)
        for reader in self.readers:
            reader.join(DEADLINE)
        return status

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.status()
        self.popen.stdout.close()
        self.popen.stderr.close()

    def memory(self):
        """Bytes of it that are in memory."""
        with open("/proc/%d/status" % self.pid) as f:
            return 1024 * int(re.search(r"VmRSS:\s*(\d+)", f.read()).group(1))


class Upstream:
    """A poem server played by the test."""

    def __init__(self, backlog):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.socket.settimeout(DEADLINE)
        self.port = self.socket.getsockname()[1]

    def accept(self):
        connection, _ = self.socket.accept()
        connection.settimeout(DEADLINE)
        return connection

    def nobody_waits(self):
        return not select.select([self.socket], [], [], 0)[0]

    def close(self):
        self.socket.close()


class NameServer:
    """A server of the DNS: records, by name and type, as bytes.  A name without
    any does not exist; it is silent if records is None."""

    def __init__(self, records):
        self.records = records
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            self.asked += 1
            if self.records is not None:
                self.socket.sendto(self.answer(question), peer)

    def answer(self, question):
        end = question.index(b"\0", 12) + 1
        name, kind = question[12:end], struct.unpack(">H", question[end:end + 2])[0]
        found = [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 600, len(data)) + data
                 for data in self.records.get((name, kind), ())]
        exists = any(name == n for n, _ in self.records)
        return (question[:2] + (b"\x81\x80" if exists else b"\x81\x83") +
                struct.pack(">HHHH", 1, len(found), 0, 0) +
                question[12:end + 4] + b"".join(found))

    def close(self):
        self.socket.close()


def dns_name(text):
    """A name as it is sent."""
    return b"".join(bytes([len(label)]) + label.encode()
                    for label in text.split(".")) + b"\0"


def read_to_end(connection):
    """Everything up to the end of what the other side sends."""
    pieces = []
    while True:
        piece = connection.recv(65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def read_all(connection):
    """The same, and closes the connection: who stays makes a server
    linger."""
    with connection:
        return read_to_end(connection)


def is_closed(connection):
    """Waits for the peer to close or reset it, and nothing else."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def is_over(connection):
    """Waits for the peer to close or reset it, whatever comes before."""
    try:
        return read_all(connection) is not None
    except ConnectionResetError:
        return True


def read_line(connection):
    """A line of a socket, byte by byte: what follows stays there."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise AssertionError("closed after %r" % line)
        line += byte
    return line


def break_off(connection):
    """Closes with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
    connection.close()


def unread(port):
    """Bytes that the socket of that local port has received and its program
    has not read; None if there is no such socket."""
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == port and fields[3] == "01":
                return int(fields[4].split(":")[1], 16)
    return None


def netstring(data):
    return b"%d:%s," % (len(data), data)


class ProgramTest(unittest.TestCase):
    """Tests of programs on one backend; see backends()."""

    backend = None

    def start(self, name, *args, env=(), stdin=b""):
        argv = [os.path.join(BUILD, "samples", name),
                "--reactor", self.backend] + [str(a) for a in args]
        process = Process(argv, env, stdin)
        self.addCleanup(process.close)
        return process

    def serve(self, name, *args, env=()):
        """Starts a server; it and the port that its first line names."""
        process = self.start(name, *args, env=env)
        first = process.line()
        match = re.search(r"(\d+)\.$", first)
        self.assertTrue(match, first)
        process.first, process.port = first, int(match.group(1))
        return process

    def upstream(self, backlog=100):
        server = Upstream(backlog)
        self.addCleanup(server.close)
        return server

    def full_upstream(self):
        """One with a full backlog: connecting to it takes for ever."""
        server = self.upstream(backlog=0)
        self.connect(server)
        return server

    def connect(self, server):
        connection = socket.create_connection(("127.0.0.1", server.port),
                                              timeout=DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def has_read(self, connection):
        """Waits until the peer's program has read all that was sent to it:
        a reset before that would look to it like a failure to connect."""
        port = connection.getpeername()[1]
        deadline = time.monotonic() + DEADLINE
        while unread(port) != 0:
            self.assertLess(time.monotonic(), deadline)
            os.sched_yield()

    def refused_port(self):
        """A port that refuses as long as the test runs."""
        held = socket.socket()
        held.bind(("127.0.0.1", 0))
        self.addCleanup(held.close)
        return held.getsockname()[1]

    def file(self, data):
        f = tempfile.NamedTemporaryFile()
        self.addCleanup(f.close)
        f.write(data)
        f.flush()
        return f.name

    def ends(self, process, status=0, err=b""):
        """It ends with that status, and has complained of nothing but err;
        None: that is looked at elsewhere."""
        self.assertEqual(process.status(), status, process.err)
        if err is not None:
            self.assertEqual(process.err, err)

    def stop(self, process, number=signal.SIGTERM, err=b""):
        """A signal ends it cleanly."""
        process.signal(number)
        self.ends(process, 0, err)

    def prints(self, lines, name, *args, err=b"", status=0):
        process = self.start(name, *args)
        self.ends(process, status, err)
        self.assertEqual(process.out.decode().splitlines(), lines)


class DeferCancel(ProgramTest):
    DEFERRED = "I need to cancel this deferred: <Deferred at 0x"

    def prints_a_deferred(self, lines, name):
        process = self.start(name)
        self.ends(process)
        out = process.out.decode().splitlines()
        self.assertRegex(out[0], "^" + self.DEFERRED + "[0-9a-f]+>$")
        self.assertEqual(out[1:], lines)

    def test_1_nobody_handles_the_cancellation(self):
        self.prints(["done"], "defer-cancel-1",
                    err=b"Unhandled error in Deferred: CancelledError\n")

    def test_2_an_errback_catches_it(self):
        self.prints(["errback got: CancelledError", "done"], "defer-cancel-2")

    def test_3_cancel_after_firing_does_nothing(self):
        self.prints(["callback got: result", "done"], "defer-cancel-3")

    def test_4_firing_after_cancel_does_nothing(self):
        self.prints(["errback got: CancelledError", "done"], "defer-cancel-4")

    def test_5_the_canceller_runs_first(self):
        self.prints_a_deferred(["errback got: CancelledError", "done"],
                               "defer-cancel-5")

    def test_6_the_canceller_answers_with_a_result(self):
        self.prints_a_deferred(["Firing the deferred with a result",
                                "callback got: result", "done"],
                               "defer-cancel-6")

    def test_7_the_canceller_answers_with_an_error(self):
        self.prints_a_deferred(["Firing the deferred with an error",
                                "errback got: Error: error!", "done"],
                               "defer-cancel-7")

    def test_8_no_canceller_after_firing(self):
        self.prints(["callback got: result", "done"], "defer-cancel-8")

    def test_9_the_poem_comes(self):
        self.prints(["Sending poem",
                     "I got a poem: Once upon a midnight dreary"],
                    "defer-cancel-9", "--scale", 50)

    def test_10_the_work_goes_on(self):
        self.prints(["get_poem failed: CancelledError", "Sending poem"],
                    "defer-cancel-10", "--scale", 20)

    def test_11_the_canceller_stops_the_timer(self):
        self.prints(["get_poem failed: CancelledError"],
                    "defer-cancel-11", "--scale", 20)

    def test_12_cancelling_the_outer_cancels_the_inner(self):
        self.prints(["first outer callback, returning inner deferred",
                     "canceling outer deferred.",
                     "inner cancel callback.",
                     "outer errback got: CancelledError",
                     "done"], "defer-cancel-12")

    def test_13_the_same_with_a_reactor(self):
        self.prints(["outer callback, waiting for the inner deferred",
                     "canceling the outer deferred.",
                     "inner canceller, stopping its timer.",
                     "outer errback got: CancelledError",
                     "done"], "defer-cancel-13", "--scale", 20)


SIMULATION = """\
      callbacks                 errbacks
      |
      | poem
      v
  1 [ fail:no ink ]             pass
      \\_________________________
                                |
                                | Error: no ink
                                v
  2   return:x                [ return:blot ]
       _________________________/
      |
      | blot
      v
  3 [ later:fail:late ]         pass
      : a deferred, which has not fired
      : it fires
      \\_________________________
                                |
                                | Error: late
                                v
  4   pass                    [ now:return:42 ]
                                : a deferred, which has fired
       _________________________/
      |
      | 42
      v
A value is left.
""".splitlines()


class DeferredSimulator(ProgramTest):
    def complains(self, pattern, *args, stdin=b""):
        process = self.start("deferred-simulator", *args, stdin=stdin)
        self.assertEqual(process.status(), 2)
        self.assertEqual(process.out, b"")
        self.assertRegex(process.err.decode(),
                         "^deferred-simulator: .*%s.*\n$" % pattern)

    def results(self, *args):
        """What ran through the chain, and what it ended with."""
        process = self.start("deferred-simulator", *args)
        self.ends(process)
        lines = process.out.decode().splitlines()
        return [n[n.index("| ") + 2:] for n in lines if "| " in n], lines[-1]

    def test_draws_the_chain(self):
        self.prints(SIMULATION, "deferred-simulator", "return:poem",
                    "fail:no ink", "pass", "return:x", "return:blot",
                    "later:fail:late", "pass", "pass", "now:return:42")

    def test_draws_what_begins_as_a_failure(self):
        self.prints(["      callbacks                 errbacks"] +
                    [32 * " " + n for n in ["|", "| Error: x", "v"]] +
                    ["A failure is left, and nobody has handled it."],
                    "deferred-simulator", "fail:x")

    def test_reads_standard_input(self):
        process = self.start("deferred-simulator",
                             stdin=b"return:1\n return:2\tfail:x\n\npass pass")
        self.ends(process)
        self.assertEqual(re.findall(r"\| (\w+)", process.out.decode()),
                         ["1", "2", "2"])

    def test_each_word_on_each_side(self):
        value = "A value is left."
        failure = "A failure is left, and nobody has handled it."
        for word, text, end in [("return:b", "b", value),
                                ("fail:b", "Error: b", failure),
                                ("now:return:b", "b", value),
                                ("now:fail:b", "Error: b", failure),
                                ("later:return:b", "b", value),
                                ("later:fail:b", "Error: b", failure)]:
            self.assertEqual(self.results("return:a", word, "fail:not"),
                             (["a", text], end))
            self.assertEqual(self.results("fail:a", "fail:not", word),
                             (["Error: a", text], end))
        self.assertEqual(self.results("return:a", "pass", "fail:not"),
                         (["a", "a"], value))
        self.assertEqual(self.results("fail:a", "fail:not", "pass"),
                         (["Error: a", "Error: a"], failure))

    def test_text_may_be_anything(self):
        self.assertEqual(self.results("return:")[0], [""])
        self.assertEqual(self.results("return:a:b c")[0], ["a:b c"])
        text = "x" * 1000
        self.assertEqual(self.results("fail:%d%s" + text, "pass", "pass")[0],
                         [("Error: %d%s" + text)[:255]] * 2)

    def test_cancel_stops_what_has_not_fired(self):
        self.assertEqual(
            self.results("--cancel", "return:a", "later:return:b", "pass",
                         "pass", "return:c", "later:fail:d", "pass"),
            (["a", "CancelledError", "c", "CancelledError"],
             "A failure is left, and nobody has handled it."))
        self.assertEqual(self.results("--cancel", "return:a")[0], ["a"])

    def test_mistakes(self):
        self.complains("there is no RESULT")
        self.complains("there is no RESULT", stdin=b" \n")
        self.complains("ERRBACK", "return:1", "pass")
        for word in ["", "x", "return", "pass", "now:return:1", "Return:1"]:
            self.complains("%s: not return:VALUE" % word, word)
        for word in ["", "x", "pass:", "now:pass", "later:now:return:1",
                     "later:", "fail"]:
            self.complains("%s: not pass" % word, "return:1", "pass", word)
        self.complains("too much", "return:1", *["pass"] * 202)
        self.complains("more than 201 words", stdin=b"pass " * 202)

    def test_the_longest_chain_there_may_be(self):
        words = ["return:1"] + ["pass"] * 200
        self.assertEqual(self.results(*words)[0], ["1"] * 101)
        process = self.start("deferred-simulator",
                             stdin=" ".join(words).encode())
        self.ends(process)


class CommandLine(ProgramTest):
    def complains(self, pattern, name, *args):
        process = self.start(name, *args)
        self.assertEqual(process.status(), 2)
        self.assertEqual(process.out, b"")
        err = process.err.decode()
        self.assertRegex(err, "^%s: .*%s.*\n$" % (re.escape(name), pattern))
        self.assertEqual(err.count("\n"), 1)

    def test_help(self):
        for name in ALL:
            process = self.start(name, "--help")
            self.ends(process)
            self.assertIn("Usage: %s " % name, process.out.decode())
            for option in ["--help", "--reactor NAME"]:
                self.assertIn(option, process.out.decode())
            serves = "--port N" in process.out.decode()
            self.assertEqual(serves, name in SERVERS or
                             name in UDP_SERVERS, name)

    def test_bad_option(self):
        for name in ALL:
            self.complains("--nonsense", name, "--nonsense")

    def test_bad_reactor(self):
        for name in ALL:
            self.complains("--reactor kqueue9", name, "--reactor", "kqueue9")

    def test_option_without_its_value(self):
        self.complains("--port needs", "echo", "--port")
        self.complains("--transform needs", "get-poetry", "1", "--transform",
                       "2")

    def test_flag_with_a_value(self):
        self.complains("--share", "poetry-proxy", "--share=yes", "1")

    def test_bad_port(self):
        for port in ["65536", "-1", "1x", "", "99999999999999999999"]:
            self.complains("--port", "echo", "--port", port)

    def test_bad_server(self):
        for server in ["65536", "0", "", "x", ":1", "::1:80", "[::1:80",
                       "[]:1", "poetry:0", "poetry:65536", "a" * 256 + ":1"]:
            self.complains("not .HOST:.PORT", "poetry-proxy", server)
            self.complains("not .HOST:.PORT", "get-poetry", "1", server)

    def test_bad_numbers(self):
        for delay in ["-1", "x", "nan", "inf", "1s", ""]:
            self.complains("--delay", "slowpoetry", "--delay", delay, "x")
        for n in ["0", "-1", "x"]:
            self.complains("--num-bytes", "slowpoetry", "--num-bytes", n, "x")
            self.complains("--hz", "ticker", "--hz", n)
            self.complains("--clients", "guarded-echo", "--clients", n)
            self.complains("--rate", "guarded-echo", "--rate", n)
            self.complains("--scale", "defer-cancel-9", "--scale", n)
            self.complains("--timeout", "get-poetry", "--timeout", n, "1")

    def test_bad_file(self):
        for name in ["slowpoetry", "fastpoetry", "demo"]:
            self.complains("No such file", name, "/nonexistent/poem")
            self.complains("Is a directory", name, "/")

    def test_missing_and_further_operands(self):
        for name in ["slowpoetry", "fastpoetry", "poetry-proxy", "get-poetry",
                     "whoami"]:
            self.complains("is missing", name)
        for name in ["slowpoetry", "fastpoetry", "poetry-proxy", "whoami"]:
            self.complains("too much", name, "1", "2")
        for name in DEFER_CANCEL + ["echo", "guarded-echo", "chat",
                                    "ticker", "udp-echo"]:
            self.complains("too much", name, "1")

    def test_port_in_use(self):
        taken = self.upstream()
        for name, args in SERVERS.items():
            self.complains("cannot serve on 127.0.0.1, port %d" % taken.port,
                           name, "--port", taken.port, *args)

    def test_bad_iface(self):
        for name in ("echo", "udp-echo"):
            self.complains("cannot serve on nowhere", name, "--iface",
                           "nowhere")

    def test_chosen_port_and_iface(self):
        # Bound and not listening, so that nobody else is given it meanwhile.
        kept = socket.socket()
        self.addCleanup(kept.close)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        server = self.serve("echo", "--port=%d" % port, "--iface",
                            "localhost")
        self.assertEqual(server.port, port)
        self.connect(server).sendall(b"x")
        self.stop(server)

    def test_operands_after_two_dashes(self):
        self.complains("--x: No such file", "slowpoetry", "--", "--x")


class Signals(ProgramTest):
    """SIGTERM and SIGINT: connections are closed, nothing leaks, status 0."""

    def check_servers(self, number):
        for name, args in SERVERS.items():
            server = self.serve(name, *args)
            connection = self.connect(server)
            # An answer shows that the server has accepted it.
            if name == "slowpoetry":
                connection.recv(1)
            elif name in ("echo", "guarded-echo"):
                connection.sendall(b"x")
                connection.recv(1)
            # The proxy says that its download, from port 1, has failed.
            self.stop(server, number,
                      err=None if name == "poetry-proxy" else b"")
            self.assertTrue(is_over(connection), name)

    def test_sigterm_ends_servers(self):
        self.check_servers(signal.SIGTERM)

    def test_sigint_ends_servers(self):
        self.check_servers(signal.SIGINT)

    def test_a_proxy_that_downloads(self):
        for option in [[], ["--no-cancel"], ["--share"]]:
            upstream = self.upstream()
            proxy = self.serve("poetry-proxy", upstream.port, *option)
            client = self.connect(proxy)
            server = upstream.accept()
            server.sendall(b"half a ")
            # Which connection ends first is not said.
            self.stop(proxy, err=None)
            self.assertIn(proxy.err.partition(b":")[0],
                          [b"", b"Poem download failed"])
            self.assertTrue(is_closed(client))
            self.assertTrue(is_closed(server))

    def test_clients_and_tickers(self):
        upstream = self.upstream()
        client = self.start("get-poetry", upstream.port)
        server = upstream.accept()
        self.stop(client)
        self.assertTrue(is_closed(server))
        ticker = self.start("ticker")
        ticker.line()
        self.stop(ticker)

    def test_a_poem_that_was_waited_for(self):
        process = self.start("defer-cancel-9", "--scale", "0.001")
        # It prints nothing yet: its handler is there when it waits.
        deadline = time.monotonic() + DEADLINE
        while not handles_sigterm(process.pid):
            self.assertLess(time.monotonic(), deadline)
            os.sched_yield()
        self.stop(process)


def handles_sigterm(pid):
    with open("/proc/%d/status" % pid) as f:
        caught = int(re.search(r"SigCgt:\s*(\w+)", f.read()).group(1), 16)
    return caught >> (signal.SIGTERM - 1) & 1


def abstract_name():
    """Of a UNIX socket, that no other test has."""
    return "plait-test-%d-%s" % (os.getpid(), os.urandom(8).hex())


class Endpoints(ProgramTest):
    """The poetry programs take endpoints besides what they take."""

    def serve_unix(self, name, *args):
        at = "unix:@" + abstract_name()
        server = self.start(name, "--listen", at, *args)
        server.first, server.at = server.line(), at
        return server

    def test_poems_over_unix_sockets(self):
        path = os.path.join(POEMS, "ecstasy.txt")
        for name in ("slowpoetry", "fastpoetry"):
            more = ["--delay", "0", "--num-bytes", "100"] \
                if name == "slowpoetry" else []
            server = self.serve_unix(name, path, *more)
            self.assertEqual(server.first,
                             "Serving %s on %s." % (path, server.at))
            client = self.start("get-poetry", server.at)
            self.ends(client)
            self.assertEqual(client.out, poem("ecstasy"))
            self.stop(server)

    def test_a_proxy_and_a_transformation_over_unix_sockets(self):
        upstream = self.serve_unix("fastpoetry",
                                   os.path.join(POEMS, "ecstasy.txt"))
        proxy = self.serve_unix("poetry-proxy", upstream.at)
        self.assertEqual(proxy.first, "Proxying %s on %s."
                         % (upstream.at, proxy.at))
        transformer = self.serve_unix("transformedpoetry")
        client = self.start("get-poetry", proxy.at, "--transform",
                            transformer.at, "cummingsify")
        self.ends(client)
        self.assertEqual(client.out, poem("ecstasy").lower())

    def test_timeout_in_a_transformation_closes_its_connection(self):
        server = self.serve_unix("fastpoetry",
                                 os.path.join(POEMS, "ecstasy.txt"))
        transformer = self.upstream()
        client = self.start("get-poetry", "--timeout", ".3", server.at,
                            "--transform",
                            "tcp:127.0.0.1:%d" % transformer.port, "x")
        connection = transformer.accept()
        self.assertEqual(read_all(connection),
                         netstring(b"x." + poem("ecstasy")))
        self.ends(client, 1, b"TimeoutError: no poem from %s in 0.3 s\n"
                  % server.at.encode())

    def test_wrappers_stand_before_a_server(self):
        server = self.start("fastpoetry", "--listen",
                            "limit:total=5:throttle:out=1M:tcp:0:"
                            "interface=127.0.0.1",
                            os.path.join(POEMS, "ecstasy.txt"))
        port = int(re.search(r"port (\d+)\.$", server.line()).group(1))
        client = self.start("get-poetry", "throttle:in=1M:tcp:127.0.0.1:%d"
                            % port)
        self.ends(client)
        self.assertEqual(client.out, poem("ecstasy"))

    def complains(self, expected, name, *args):
        process = self.start(name, *args)
        self.assertEqual(process.status(), 2)
        self.assertIn(expected, process.err.decode())
        self.assertEqual(process.err.count(b"\n"), 1)

    def test_a_bad_endpoint_is_refused_with_its_reason(self):
        self.complains("column 8: tcp has no key `prot'", "echo", "--listen",
                       "tcp:80:prot=tcp")
        self.complains("timeout is for connecting", "echo", "--listen",
                       "tcp:80:timeout=5")
        self.complains("mode is for listening", "get-poetry",
                       "unix:/poem:mode=600")
        self.complains("No such file or directory", "echo", "--listen",
                       "unix:/no/such/directory/poem")


class PortForward(ProgramTest):
    def forward(self, to, first="tcp:0:interface=127.0.0.1"):
        process = self.start("portforward", first, to)
        line = process.line()
        match = re.match(r"Forwarding to (\S+) from port (\d+)\.$", line)
        self.assertTrue(match, line)
        self.assertEqual(match.group(1), to)
        process.port = int(match.group(2))
        return process

    def descriptors(self, process):
        return len(os.listdir("/proc/%d/fd" % process.pid))

    def returns_to(self, process, n):
        """Its descriptors are as many as then."""
        deadline = time.monotonic() + DEADLINE
        while self.descriptors(process) != n:
            self.assertLess(time.monotonic(), deadline)
            os.sched_yield()

    def test_half_a_close_passes_in_both_directions(self):
        upstream = self.upstream()
        process = self.forward("tcp:127.0.0.1:%d" % upstream.port)
        baseline = self.descriptors(process)
        for first in ("client", "server"):
            client = self.connect(process)
            server = upstream.accept()
            ends, other = (client, server) if first == "client" else \
                (server, client)
            ends.sendall(b"this is all")
            ends.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(other), b"this is all")
            other.sendall(b"an answer")
            other.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(ends), b"an answer")
            client.close()
            server.close()
            self.returns_to(process, baseline)
        self.stop(process)

    def test_a_request_and_its_end_that_come_before_the_connection(self):
        upstream = self.upstream()
        process = self.forward("tcp:127.0.0.1:%d" % upstream.port)
        client = self.connect(process)
        client.sendall(b"all at once")
        client.shutdown(socket.SHUT_WR)
        server = upstream.accept()
        self.assertEqual(read_all(server), b"all at once")
        server.close()
        self.assertEqual(read_all(client), b"")

    def test_a_slow_reader_holds_the_sender_back(self):
        upstream = self.upstream()
        process = self.forward("tcp:127.0.0.1:%d" % upstream.port)
        baseline = self.descriptors(process)
        client = self.connect(process)
        server = upstream.accept()
        before = process.memory()
        size, chunk = 64 * 1024 * 1024, bytes(range(256)) * 256
        sent = 0
        client.setblocking(False)
        while select.select([], [client], [], .5)[1]:
            try:
                sent += client.send(chunk[sent % 256:])
            except BlockingIOError:
                pass
        self.assertLess(sent, size)
        self.assertLess(process.memory() - before, 16 * 1024 * 1024)

        def send_the_rest():
            client.setblocking(True)
            left = size - sent
            while left > 0:
                at = (size - left) % 256
                left -= client.send(chunk[at:at + left])
            client.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send_the_rest, daemon=True)
        sender.start()
        received = 0
        while True:
            piece = server.recv(65536)
            if not piece:
                break
            at = received % 256
            self.assertEqual(piece, (chunk + chunk)[at:at + len(piece)])
            received += len(piece)
        sender.join(DEADLINE)
        self.assertEqual(received, size)
        server.close()
        self.assertEqual(read_all(client), b"")
        client.close()
        self.returns_to(process, baseline)
        self.stop(process)

    def test_a_client_that_goes_gives_the_attempt_up(self):
        full = self.full_upstream()
        process = self.forward("tcp:127.0.0.1:%d" % full.port)
        baseline = self.descriptors(process)
        client = self.connect(process)
        self.returns_to(process, baseline + 2)
        break_off(client)
        self.returns_to(process, baseline)
        self.stop(process)

    def test_what_breaks_one_side_breaks_the_other(self):
        upstream = self.upstream()
        process = self.forward("tcp:127.0.0.1:%d" % upstream.port)
        baseline = self.descriptors(process)
        for first in ("client", "server"):
            client = self.connect(process)
            server = upstream.accept()
            client.sendall(b"x")
            self.assertEqual(server.recv(1), b"x")
            break_off(client if first == "client" else server)
            self.assertTrue(is_closed(server if first == "client" else client))
            (server if first == "client" else client).close()
            self.returns_to(process, baseline)
        self.stop(process)

    def test_a_server_that_refuses_is_reported_and_the_client_closed(self):
        process = self.forward("tcp:127.0.0.1:%d" % self.refused_port())
        try:
            self.assertTrue(is_closed(self.connect(process)))
        except ConnectionResetError:
            pass  # so soon
        process.signal(signal.SIGTERM)
        self.assertEqual(process.status(), 0)
        self.assertRegex(process.err, rb"^ConnectionRefusedError: [^\n]*\n$")

    def test_from_tcp_to_unix_and_back(self):
        upstream = self.upstream()
        name = abstract_name()
        back = self.start("portforward", "unix:@" + name,
                          "tcp:127.0.0.1:%d" % upstream.port)
        self.assertEqual(back.line(),
                         "Forwarding to tcp:127.0.0.1:%d from unix:@%s."
                         % (upstream.port, name))
        process = self.forward("unix:@" + name, "throttle:in=100M:tcp:0")
        client = self.connect(process)
        server = upstream.accept()
        client.sendall(b"there")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(server), b"there")
        server.sendall(b"and back")
        server.close()
        self.assertEqual(read_all(client), b"and back")
        self.stop(process)
        self.stop(back)

    @unittest.skipUnless(shutil.which("socat"), "there is no socat")
    def test_socat_talks_through_it(self):
        path = os.path.join(POEMS, "ecstasy.txt")
        poems = self.serve("fastpoetry", path)
        name = abstract_name()
        process = self.start("portforward", "unix:@" + name,
                             "tcp:127.0.0.1:%d" % poems.port)
        process.line()
        said = subprocess.run(["socat", "-t", "30", "-",
                               "ABSTRACT-CONNECT:" + name],
                              stdin=subprocess.DEVNULL, check=True,
                              stdout=subprocess.PIPE, timeout=DEADLINE)
        self.assertEqual(said.stdout, poem("ecstasy"))
        self.stop(process)


class SlowPoetry(ProgramTest):
    def test_pieces(self):
        text = poem("ecstasy")
        path = os.path.join(POEMS, "ecstasy.txt")
        server = self.serve("slowpoetry", "--delay", ".001", "--num-bytes",
                            "100", path)
        self.assertEqual(server.first,
                         "Serving %s on port %d." % (path, server.port))
        client = self.connect(server)
        port = client.getsockname()[1]
        self.assertEqual(read_all(client), text)
        self.assertEqual(server.line(), "Somebody at 127.0.0.1:%d wants "
                         "poetry!" % port)
        left = len(text)
        while left > 0:
            self.assertEqual(server.line(),
                             "Sending %d bytes" % min(left, 100))
            left -= min(left, 100)
        self.stop(server)
        self.assertEqual(server.rest(), [])

    def test_the_name_of_the_file_is_shown_escaped(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "a\n\x1b[31mb")
        with open(path, "wb") as f:
            f.write(b"poem")
        for name in ("slowpoetry", "fastpoetry"):
            server = self.serve(name, path)
            self.assertEqual(server.first, "Serving %s/a\\x0a\\x1b[31mb on "
                             "port %d." % (directory, server.port))
            self.stop(server)

    def test_a_poem_has_a_size_limit(self):
        for name in ("slowpoetry", "fastpoetry"):
            process = self.start(name, "/dev/zero")
            self.ends(process, 2, b"%s: /dev/zero: more than 16777216 bytes\n"
                      % name.encode())

    def test_defaults(self):
        server = self.serve("slowpoetry", os.path.join(POEMS, "ecstasy.txt"))
        client = self.connect(server)
        server.line()
        begin = time.monotonic()
        self.assertEqual(server.line(), "Sending 10 bytes")
        self.assertEqual(server.line(), "Sending 10 bytes")
        self.assertEqual(client.recv(1), poem("ecstasy")[:1])
        self.assertGreater(time.monotonic() - begin, .6)
        self.stop(server)

    def test_many_clients_at_once(self):
        text = poem("sonnet-18")
        server = self.serve("slowpoetry", "--delay", ".01",
                            os.path.join(POEMS, "sonnet-18.txt"))
        clients = [self.connect(server) for _ in range(20)]
        for client in clients:
            self.assertEqual(read_all(client), text)
        self.stop(server)

    def test_stops_for_a_client_that_has_gone(self):
        text = b"x" * 30
        server = self.serve("slowpoetry", "--delay", ".3", "--num-bytes", "10",
                            self.file(text))
        gone = self.connect(server)
        gone.recv(1)
        gone.close()
        # Its second piece would come before the third of this one.
        self.assertEqual(read_all(self.connect(server)), text)
        self.stop(server)
        self.assertEqual(server.out.count(b"Somebody"), 2)
        self.assertEqual(server.out.count(b"Sending"), 4)

    def test_an_empty_poem(self):
        server = self.serve("slowpoetry", self.file(b""))
        self.assertEqual(read_all(self.connect(server)), b"")
        self.stop(server)


class FastPoetry(ProgramTest):
    def test_whole_poem(self):
        server = self.serve("fastpoetry", os.path.join(POEMS, "ecstasy.txt"))
        self.assertRegex(server.first, r"^Serving \S+ecstasy.txt on port ")
        for _ in range(3):
            self.assertEqual(read_all(self.connect(server)), poem("ecstasy"))
        self.stop(server)

    def test_large_poem_with_unread_client_bytes(self):
        text = os.urandom(1024) * 4096
        server = self.serve("fastpoetry", self.file(text))
        client = self.connect(server)
        client.sendall(b"You write too fast. " * 5000)
        self.assertEqual(read_all(client), text)
        self.stop(server)

    def test_clients_share_the_poem(self):
        text = b"shared " * (2 * 1024 * 1024)
        server = self.serve("fastpoetry", self.file(text))
        first = self.connect(server)
        first.recv(1)
        before = server.memory()
        idle = [self.connect(server) for _ in range(10)]
        for client in idle:
            client.recv(1)
        self.assertLess(server.memory() - before, len(text))
        self.assertEqual(b"s" + read_all(first), text)
        self.stop(server)


class TransformedPoetry(ProgramTest):
    def answer(self, connection, n):
        data = b""
        while len(data) < n:
            piece = connection.recv(n - len(data))
            self.assertTrue(piece)
            data += piece
        return data

    def test_cummingsify(self):
        server = self.serve("transformedpoetry")
        client = self.connect(server)
        text = poem("ecstasy")
        for _ in range(2):
            client.sendall(netstring(b"cummingsify." + text))
            expected = netstring(text.lower())
            self.assertEqual(self.answer(client, len(expected)), expected)
        client.sendall(netstring(b"cummingsify."))
        self.assertEqual(self.answer(client, 3), b"0:,")
        self.stop(server)

    def test_what_closes_the_connection(self):
        server = self.serve("transformedpoetry")
        for bad in [netstring(b"shout.Poem"), netstring(b"cummingsify"),
                    netstring(b""), netstring(b".Poem"), b"Poem",
                    netstring(b"cummingsify2.Poem"), b"1:ab",
                    b"99999999999:"]:
            client = self.connect(server)
            client.sendall(bad)
            self.assertTrue(is_closed(client), bad)
        self.stop(server)


class GetPoetry(ProgramTest):
    def test_prints_each_poem(self):
        names = ["ecstasy", "sonnet-18", "annabel-lee"]
        servers = [self.serve("fastpoetry", os.path.join(POEMS, n + ".txt"))
                   for n in names]
        client = self.start("get-poetry", "localhost:%d" % servers[0].port,
                            servers[1].port,
                            "127.0.0.1:%d" % servers[2].port)
        self.ends(client)
        self.assertEqual(sorted(client.out.splitlines()),
                         sorted(b"".join(map(poem, names)).splitlines()))
        for name in names:
            self.assertIn(poem(name), client.out)

    def test_a_name_is_looked_up(self):
        server = self.serve("fastpoetry", os.path.join(POEMS, "ecstasy.txt"))
        client = self.start("get-poetry", "poetry.localhost:%d" % server.port)
        self.ends(client)
        self.assertEqual(client.out, poem("ecstasy"))

    def test_a_name_that_does_not_exist(self):
        client = self.start("get-poetry", "poetry.invalid:10000")
        self.assertEqual(client.status(), 1)
        self.assertEqual(client.out, b"")
        self.assertRegex(client.err.decode(),
                         r"^DNSNoNameError: .*poetry\.invalid.*\n$")

    def test_a_terminal_sees_control_characters_escaped(self):
        poem = b"red \x1b[31m\x07\t\xc2\x9b\xc3\xa9\n"
        server = self.serve("fastpoetry", self.file(poem))
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        subprocess.run([os.path.join(BUILD, "samples",
                                     "get-poetry"), str(server.port)],
                       stdout=slave, check=True, timeout=DEADLINE)
        os.close(slave)
        said = b""
        while not said.endswith(b"\n"):
            said += os.read(master, 1024)
        self.assertEqual(said, b"red \\x1b[31m\\x07\t\\xc2\\x9b\xc3\xa9\r\n")
        client = self.start("get-poetry", server.port)
        self.ends(client)
        self.assertEqual(client.out, poem)

    def test_refused(self):
        port = self.refused_port()
        client = self.start("get-poetry", port)
        self.assertEqual(client.status(), 1)
        self.assertEqual(client.out, b"")
        self.assertRegex(client.err.decode(),
                         r"^ConnectionRefusedError: connect to 127.0.0.1:%d"
                         r".*\n$" % port)

    def test_one_fails_and_the_others_come(self):
        server = self.serve("fastpoetry", os.path.join(POEMS, "ecstasy.txt"))
        client = self.start("get-poetry", self.refused_port(), server.port,
                            self.refused_port())
        self.assertEqual(client.status(), 1)
        self.assertEqual(client.out, poem("ecstasy"))
        self.assertEqual(client.err.count(b"\n"), 2)

    def test_timeout_closes_the_connection(self):
        upstream = self.upstream()
        good = self.serve("fastpoetry", os.path.join(POEMS, "ecstasy.txt"))
        client = self.start("get-poetry", "--timeout", ".3", upstream.port,
                            good.port)
        server = upstream.accept()
        server.sendall(b"half a ")
        self.assertTrue(is_closed(server))
        self.ends(client, 1, b"TimeoutError: no poem from 127.0.0.1:%d in "
                             b"0.3 s\n" % upstream.port)
        self.assertEqual(client.out, poem("ecstasy"))

    def test_timeout_while_connecting(self):
        full = self.full_upstream()
        client = self.start("get-poetry", "--timeout", ".2", full.port)
        self.ends(client, 1, b"TimeoutError: no poem from 127.0.0.1:%d in "
                             b"0.2 s\n" % full.port)

    def test_a_server_that_breaks_off(self):
        upstream = self.upstream()
        client = self.start("get-poetry", upstream.port)
        server = upstream.accept()
        server.sendall(b"half a ")
        self.has_read(server)
        break_off(server)
        self.assertEqual(client.status(), 1)
        self.assertEqual(client.out, b"")
        self.assertRegex(client.err.decode(),
                         r"^ConnectionLost: .*127.0.0.1:%d.*\n$"
                         % upstream.port)

    def test_an_endless_poem_is_a_failure(self):
        upstream = self.upstream()
        client = self.start("get-poetry", upstream.port)
        server = upstream.accept()
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                sent += server.send(b"and on " * 10000)
        except (ConnectionResetError, BrokenPipeError):
            pass
        self.assertLess(sent, 64 * 1024 * 1024)
        self.assertEqual(client.status(), 1)
        self.assertEqual(client.out, b"")
        self.assertEqual(client.err.count(b"\n"), 1)

    def test_transform(self):
        server = self.serve("fastpoetry", os.path.join(POEMS, "ecstasy.txt"))
        transformer = self.serve("transformedpoetry")
        client = self.start("get-poetry", server.port, "--transform",
                            transformer.port, "cummingsify")
        self.ends(client)
        self.assertEqual(client.out, poem("ecstasy").lower())

    def test_unknown_transformation(self):
        server = self.serve("fastpoetry", os.path.join(POEMS, "ecstasy.txt"))
        transformer = self.serve("transformedpoetry")
        client = self.start("get-poetry", "--transform",
                            "localhost:%d" % transformer.port, "shout",
                            server.port)
        self.assertEqual(client.status(), 1)
        self.assertEqual(client.out, b"")
        self.assertRegex(client.err.decode(),
                         r"^ConnectionClosed: localhost:%d .*\n$"
                         % transformer.port)

    def test_timeout_in_the_transformation(self):
        server = self.serve("fastpoetry", os.path.join(POEMS, "ecstasy.txt"))
        transformer = self.upstream()
        client = self.start("get-poetry", "--timeout", ".3", server.port,
                            "--transform", transformer.port, "cummingsify")
        connection = transformer.accept()
        expected = netstring(b"cummingsify." + poem("ecstasy"))
        self.assertEqual(read_all(connection), expected)
        connection.close()
        self.ends(client, 1, b"TimeoutError: no poem from 127.0.0.1:%d in "
                             b"0.3 s\n" % server.port)


class Proxy(ProgramTest):
    def proxy(self, upstream, *args):
        proxy = self.serve("poetry-proxy", upstream.port, *args)
        self.assertEqual(proxy.first, "Proxying 127.0.0.1:%d on 127.0.0.1:%d."
                         % (upstream.port, proxy.port))
        return proxy

    def fetch(self, proxy, upstream):
        """A client whose download runs, and its connection upstream."""
        client = self.connect(proxy)
        server = upstream.accept()
        self.assertEqual(proxy.line(), "Fetching poem from server.")
        server.sendall(b"half a ")
        return client, server

    def is_cached(self, proxy, upstream, text):
        client = self.connect(proxy)
        self.assertEqual(read_all(client), text)
        self.assertEqual(proxy.line(), "Using cached poem.")
        self.assertTrue(upstream.nobody_waits())

    def test_the_cache_is_used(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream)
        client, server = self.fetch(proxy, upstream)
        server.sendall(b"poem\n")
        server.close()
        self.assertEqual(read_all(client), b"half a poem\n")
        for _ in range(3):
            self.is_cached(proxy, upstream, b"half a poem\n")
        self.stop(proxy)
        self.assertEqual(proxy.rest(), [])

    def test_a_hang_up_cancels_the_download(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream)
        client, server = self.fetch(proxy, upstream)
        client.close()
        self.assertEqual(proxy.line(), "Canceling poem download.")
        self.assertTrue(is_closed(server))
        # It was not cached, and the next one gets a download of its own.
        client, server = self.fetch(proxy, upstream)
        server.close()
        self.assertEqual(read_all(client), b"half a ")
        self.stop(proxy)

    def test_a_cancelled_download_stops_a_server_that_only_writes(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream)
        client, server = self.fetch(proxy, upstream)
        client.close()
        self.assertEqual(proxy.line(), "Canceling poem download.")
        # The proxy does not go on reading: one word more, and it is over.
        hang_up = select.poll()
        hang_up.register(server, 0)
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            server.sendall(b"more ")
            self.assertTrue(hang_up.poll(DEADLINE * 1000))
            for _ in range(3):
                server.sendall(b"more ")
        self.stop(proxy)

    def test_a_reset_cancels_the_download(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream)
        client, server = self.fetch(proxy, upstream)
        break_off(client)
        self.assertEqual(proxy.line(), "Canceling poem download.")
        self.assertTrue(is_closed(server))
        self.stop(proxy)

    def test_a_hang_up_while_it_connects(self):
        full = self.full_upstream()
        proxy = self.proxy(full)
        client = self.connect(proxy)
        self.assertEqual(proxy.line(), "Fetching poem from server.")
        client.close()
        self.assertEqual(proxy.line(), "Canceling poem download.")
        self.stop(proxy)

    def test_each_client_has_a_download_of_its_own(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream)
        first, first_server = self.fetch(proxy, upstream)
        second, second_server = self.fetch(proxy, upstream)
        first.close()
        self.assertEqual(proxy.line(), "Canceling poem download.")
        self.assertTrue(is_closed(first_server))
        second_server.sendall(b"poem\n")
        second_server.close()
        self.assertEqual(read_all(second), b"half a poem\n")
        self.stop(proxy)

    def test_an_upstream_that_breaks_off_is_not_cached(self):
        for option in [[], ["--no-cancel"], ["--share"]]:
            upstream = self.upstream()
            proxy = self.proxy(upstream, *option)
            client, server = self.fetch(proxy, upstream)
            self.has_read(server)
            break_off(server)
            self.assertEqual(read_all(client), b"")
            client, server = self.fetch(proxy, upstream)
            server.close()
            self.assertEqual(read_all(client), b"half a ")
            self.is_cached(proxy, upstream, b"half a ")
            self.stop(proxy, err=None)
            self.assertRegex(proxy.err.decode(),
                             r"^Poem download failed: ConnectionLost.*\n$")

    def test_no_upstream(self):
        for option in [[], ["--no-cancel"], ["--share"]]:
            port = self.refused_port()
            proxy = self.serve("poetry-proxy", port, *option)
            self.assertEqual(read_all(self.connect(proxy)), b"")
            self.stop(proxy, err=None)
            self.assertRegex(proxy.err.decode(),
                             r"^Poem download failed: ConnectionRefusedError: "
                             r"connect to 127.0.0.1:%d.*\n$" % port)

    def test_no_cancel_downloads_for_nobody(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream, "--no-cancel")
        client, server = self.fetch(proxy, upstream)
        client.close()
        # The proxy hears of the end of another client after that one's.
        other, other_server = self.fetch(proxy, upstream)
        other.close()
        for connection in (other_server, server):
            connection.sendall(b"poem\n")
            connection.shutdown(socket.SHUT_WR)
            self.assertTrue(is_closed(connection))
        self.is_cached(proxy, upstream, b"half a poem\n")
        self.stop(proxy)
        self.assertNotIn(b"Cancel", proxy.out)

    def test_share_has_one_download(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream, "--share")
        first, server = self.fetch(proxy, upstream)
        others = [self.connect(proxy) for _ in range(3)]
        for _ in others:
            self.assertEqual(proxy.line(), "Sharing the poem download.")
        self.assertTrue(upstream.nobody_waits())
        server.sendall(b"poem\n")
        server.close()
        for client in [first] + others:
            self.assertEqual(read_all(client), b"half a poem\n")
        self.is_cached(proxy, upstream, b"half a poem\n")
        self.stop(proxy)

    def test_share_goes_on_for_who_is_left(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream, "--share")
        first, server = self.fetch(proxy, upstream)
        second = self.connect(proxy)
        self.assertEqual(proxy.line(), "Sharing the poem download.")
        first.close()
        server.sendall(b"poem\n")
        server.close()
        self.assertEqual(read_all(second), b"half a poem\n")
        self.stop(proxy)
        self.assertNotIn(b"Cancel", proxy.out)

    def test_share_is_cancelled_by_the_last(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream, "--share")
        first, server = self.fetch(proxy, upstream)
        second = self.connect(proxy)
        self.assertEqual(proxy.line(), "Sharing the poem download.")
        first.close()
        second.close()
        self.assertEqual(proxy.line(), "Canceling poem download.")
        self.assertTrue(is_closed(server))
        client, server = self.fetch(proxy, upstream)
        server.close()
        self.assertEqual(read_all(client), b"half a ")
        self.stop(proxy)

    def test_share_and_no_cancel_together(self):
        upstream = self.upstream()
        proxy = self.proxy(upstream, "--share", "--no-cancel")
        first, server = self.fetch(proxy, upstream)
        first.close()
        second = self.connect(proxy)
        self.assertEqual(proxy.line(), "Sharing the poem download.")
        server.close()
        self.assertEqual(read_all(second), b"half a ")
        self.stop(proxy)

    def test_the_tutorials_programs_together(self):
        server = self.serve("slowpoetry", "--delay", ".3", "--num-bytes",
                            "250", os.path.join(POEMS, "sonnet-18.txt"))
        proxy = self.serve("poetry-proxy", server.port)
        hasty = self.start("get-poetry", "--timeout", ".1", proxy.port)
        self.ends(hasty, 1, b"TimeoutError: no poem from 127.0.0.1:%d in "
                            b"0.1 s\n" % proxy.port)
        # A proxy that is slow may hear of the next client first.
        self.assertEqual(proxy.line(), "Fetching poem from server.")
        self.assertEqual(proxy.line(), "Canceling poem download.")
        for _ in range(2):
            client = self.start("get-poetry", proxy.port)
            self.ends(client)
            self.assertEqual(client.out, poem("sonnet-18"))
        self.stop(proxy)
        self.assertEqual(proxy.rest(), ["Fetching poem from server.",
                                        "Using cached poem."])
        self.stop(server)
        # Three pieces for the one that waited, the first for the hasty one.
        self.assertEqual(server.out.count(b"Sending"), 4)


class Echo(ProgramTest):
    def test_echoes_until_the_end(self):
        server = self.serve("echo")
        client = self.connect(server)
        data = os.urandom(3 * 1024 * 1024)
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        back = b""
        while len(back) < len(data):
            back += client.recv(65536)
        sender.join(DEADLINE)
        self.assertEqual(back, data)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(client), b"")
        self.stop(server)

    def test_a_peer_that_never_reads_cannot_make_it_grow(self):
        server = self.serve("echo")
        client = self.connect(server)
        before = server.memory()
        client.settimeout(1)  # by then the server reads no more
        sent = 0
        with self.assertRaises(TimeoutError):
            while sent < 128 * 1024 * 1024:
                sent += client.send(bytes(65536))
        self.assertLess(server.memory() - before, 4 * 1024 * 1024)
        # Another is served meanwhile, and nothing is lost.
        other = self.connect(server)
        other.sendall(b"x")
        self.assertEqual(other.recv(1), b"x")
        client.settimeout(DEADLINE)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(client), bytes(sent))
        self.stop(server)


class UdpEcho(ProgramTest):
    def test_sends_back_each_datagram(self):
        server = self.serve("udp-echo")
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.settimeout(DEADLINE)
        client.connect(("127.0.0.1", server.port))
        for data in (b"", b"x", bytes(65507)):
            client.send(data)
            self.assertEqual(client.recv(65535), data)
        self.stop(server)


class WhoAmI(ProgramTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "who")

    def serve_there(self):
        server = self.start("whoami", self.path)
        self.assertEqual(server.line(), "Telling who is there, at " + self.path)
        return server

    def client(self):
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.settimeout(DEADLINE)
        connection.connect(self.path)
        return connection

    def who(self, pid):
        return "You are user %d of group %d, process %d.\n" % (
            os.geteuid(), os.getegid(), pid)

    def test_tells_who_connects(self):
        server = self.serve_there()
        self.assertEqual(read_line(self.client()).decode(),
                         self.who(os.getpid()))
        self.stop(server)
        self.assertFalse(os.path.exists(self.path))

    def test_reads_a_file_that_is_handed_over(self):
        server = self.serve_there()
        poem = self.file(b"Once upon a midnight dreary\nwhile I pondered")
        client = self.start("whoami", "--ask", poem, self.path)
        self.ends(client)
        self.assertEqual(client.out.decode(), self.who(client.pid) +
                         "It begins: Once upon a midnight dreary\n")
        self.stop(server)

    def test_reads_any_file_and_nothing_else(self):
        server = self.serve_there()
        ends = os.pipe()
        fds = [os.open(self.file(text), os.O_RDONLY)
               for text in (b"", b"x" * 100, b"\n\n")]
        fds.append(os.open(self.file(b""), os.O_WRONLY))
        client = self.client()
        socket.send_fds(client, [b"?"], fds + list(ends))
        for fd in fds + list(ends):
            os.close(fd)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(client).decode(), self.who(os.getpid()) +
                         "It begins: \nIt begins: " + "x" * 80 +
                         "\nIt begins: \n"
                         "I cannot read that: Bad file descriptor.\n" +
                         "I cannot read that: Invalid argument.\n" * 2)
        self.stop(server)

    def test_too_many_descriptors_are_none(self):
        server = self.serve_there()
        before = os.listdir("/proc/%d/fd" % server.pid)
        client = self.client()
        self.assertEqual(read_line(client).decode(), self.who(os.getpid()))
        socket.send_fds(client, [b"?"], [0] * 65)
        self.assertTrue(is_over(client))
        self.assertEqual(os.listdir("/proc/%d/fd" % server.pid), before)
        self.stop(server)

    def test_says_what_is_wrong(self):
        for status, args in ((2, [self.path + "/x"]),
                             (2, ["--ask", self.path, self.path]),
                             (1, ["--ask", self.file(b""), self.path])):
            process = self.start("whoami", *args)
            self.ends(process, status, err=None)
            self.assertIn(b": No such file or directory\n", process.err)


class SystemCalls(ProgramTest):
    """What a request and its answer cost, as strace counts it."""

    WAIT = {"epoll": ("epoll_wait", "epoll_pwait2"), "select": ("select", "pselect6")}

    def calls(self, requests):
        """The names of all system calls that echo made, in order."""
        log = self.file(b"")
        server = Process(["strace", "-o", log, "--",
                          os.path.join(BUILD, "samples", "echo"),
                          "--reactor", self.backend],
                         # A leak checker cannot work while it is traced.
                         {"ASAN_OPTIONS": "detect_leaks=0"})
        self.addCleanup(server.close)
        server.port = int(re.search(r"(\d+)\.$", server.line()).group(1))
        client = self.connect(server)
        for _ in range(requests):
            client.sendall(b"ping")
            self.assertEqual(client.recv(4), b"ping")
        os.kill(children_of(server.pid)[0], signal.SIGTERM)
        self.ends(server)
        with open(log) as f:
            return re.findall(r"^(\w+)\(", f.read(), re.MULTILINE)

    @unittest.skipUnless(shutil.which("strace"), "there is no strace")
    def test_a_request_costs_a_wait_a_read_and_a_write(self):
        calls = self.calls(101)
        answers = [i for i, name in enumerate(calls) if name == "sendto"]
        self.assertEqual(len(answers), 101)
        # From the first answer to the last, so that neither the way in nor
        # the way out is counted.
        calls = calls[answers[0] + 1:answers[-1] + 1]
        costs = {name: calls.count(name) for name in set(calls)}
        wait = [name for name in costs if name in self.WAIT[self.backend]]
        self.assertEqual(costs, {wait[0]: 100, "recvfrom": 100,
                                 "sendto": 100})


class GuardedEcho(ProgramTest):
    def test_one_too_many_of_an_address_is_refused(self):
        server = self.serve("guarded-echo", "--per-address", "1")
        first = self.connect(server)
        first.sendall(b"x")
        self.assertEqual(first.recv(1), b"x")
        self.assertEqual(read_all(self.connect(server)), b"")
        self.assertEqual(server.line(), "Refused 127.0.0.1, which has 1.")
        self.stop(server)

    def test_others_wait_until_there_is_room(self):
        server = self.serve("guarded-echo", "--clients", "1")
        first = self.connect(server)
        self.assertEqual(server.line(), "Full: whoever comes has to wait.")
        second = self.connect(server)
        second.sendall(b"y")
        first.sendall(b"x")
        self.assertEqual(first.recv(1), b"x")
        first.close()
        self.assertEqual(second.recv(1), b"y")
        self.stop(server)

    def test_bytes_come_back_no_faster_than_the_rate(self):
        server = self.serve("guarded-echo", "--rate", "2000")
        client = self.connect(server)
        begin = time.monotonic()
        client.sendall(bytes(3000))
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(len(read_all(client)), 3000)
        self.assertGreaterEqual(time.monotonic() - begin, .5)
        self.stop(server)


class Chat(ProgramTest):
    def join(self, server, nick):
        """A client that the server knows under that nick."""
        client = self.connect(server)
        client.sendall(b"nick %s\r\n" % nick)
        return client

    def test_lines_go_to_everybody_else(self):
        server = self.serve("chat")
        ann, bob, cyd = [self.join(server, n) for n in (b"ann", b"bob", b"cyd")]
        # Who has heard a line of each other one knows that all are there.
        self.meet([(ann, b"ann"), (bob, b"bob"), (cyd, b"cyd")])
        ann.sendall(b"hello\r\n")
        self.hear(bob, b"ann: hello\r\n")
        self.hear(cyd, b"ann: hello\r\n")
        bob.sendall(b"hi")
        bob.sendall(b"\nand bye\n")
        for other in (ann, cyd):
            self.hear(other, b"bob: hi\r\n", b"bob: and bye\r\n")
        bob.sendall(b"nick robert\nit is me\n")
        for other in (ann, cyd):
            self.hear(other, b"robert: it is me\r\n")
        bob.close()
        cyd.sendall(b"gone\n")
        self.hear(ann, b"cyd: gone\r\n")
        self.stop(server)
        self.assertEqual(read_all(ann), b"")

    def test_nobody_commands_the_terminal_of_another(self):
        server = self.serve("chat")
        ann, bob = [self.join(server, n) for n in (b"ann", b"bob")]
        self.meet([(ann, b"ann"), (bob, b"bob")])
        ann.sendall(b"red \x1b[31m \0\x7f\r\x07\t \xc3\xa9 \xc2\x9b\r\n")
        self.hear(bob, b"ann: red \\x1b[31m \\x00\\x7f\\x0d\\x07\t "
                       b"\xc3\xa9 \\xc2\\x9b\r\n")
        ann.sendall(b"nick a\x1b]n\tn\nit is me\n")
        self.hear(bob, b"a\\x1b]n\\x09n: it is me\r\n")
        self.stop(server)

    def meet(self, clients):
        """Lets each in turn talk until the others have heard it: then all
        are there.  What they said may still be on its way; see hear()."""
        for client, nick in clients:
            for other, _ in clients:
                if other is client:
                    continue
                other.settimeout(.05)
                heard = b""
                while not heard.endswith(b"%s: here\r\n" % nick):
                    try:
                        heard += other.recv(65536)
                    except TimeoutError:
                        client.sendall(b"here\n")
                other.settimeout(DEADLINE)

    def hear(self, client, *expected):
        """These lines, and nothing but greetings between them."""
        for line in expected:
            heard = b": here\r\n"
            while heard.endswith(b": here\r\n"):
                heard = read_line(client)
            self.assertEqual(heard, line)

    def test_a_guest_has_a_name(self):
        server = self.serve("chat")
        ann = self.connect(server)
        ann.sendall(b"nick ann\n")
        guest = self.connect(server)
        self.meet([(guest, b"guest2"), (ann, b"ann")])
        guest.sendall(b"nick " + b"x" * 1000 + b"\nhello\n")
        self.hear(ann, b"x" * 32 + b": hello\r\n")
        self.stop(server)

    def test_the_longest_line_and_a_longer_one(self):
        server = self.serve("chat")
        ann, bob = self.join(server, b"ann"), self.join(server, b"bob")
        self.meet([(ann, b"ann"), (bob, b"bob")])
        longest = b"x" * 16384
        for end in (b"\n", b"\r\n"):
            bob.sendall(longest + end)
            self.hear(ann, b"bob: " + longest + b"\r\n")
        for too_long in (longest + b"x\n", longest + b"x\r\n", longest * 2):
            cyd = self.connect(server)
            cyd.sendall(too_long)
            self.assertTrue(is_closed(cyd))
        bob.sendall(b"still there\n")
        self.hear(ann, b"bob: still there\r\n")
        self.stop(server)

    def test_who_never_reads_is_dropped(self):
        # The sanitizer holds back what was freed, which would count here.
        server = self.serve("chat", env={"ASAN_OPTIONS":
                                         "quarantine_size_mb=1"})
        ann, deaf = self.join(server, b"ann"), self.join(server, b"deaf")
        self.meet([(ann, b"ann"), (deaf, b"deaf")])
        before = server.memory()
        line = b"x" * 16000 + b"\n"
        for _ in range(4000):
            ann.sendall(line)
        # ann is still served when deaf is gone.
        bob = self.join(server, b"bob")
        self.meet([(ann, b"ann"), (bob, b"bob")])
        self.assertLess(server.memory() - before, 16 * 1024 * 1024)
        with self.assertRaises(ConnectionResetError):
            read_all(deaf)
        self.stop(server)


class TailF(ProgramTest):
    def setUp(self):
        super().setUp()
        where = tempfile.TemporaryDirectory()
        self.addCleanup(where.cleanup)
        self.where = where.name

    def path(self, name):
        return os.path.join(self.where, name)

    def append(self, name, text):
        with open(self.path(name), "a") as f:
            f.write(text)

    def follow(self, *names):
        process = self.start("tail-f", *map(self.path, names))
        return process

    def says(self, process, text):
        """Waits until it has said that on standard error."""
        end = time.monotonic() + DEADLINE
        while text.encode() not in process.err:
            self.assertLess(time.monotonic(), end, process.err)
            time.sleep(0.01)

    def ends_well(self, process, lines):
        process.signal(signal.SIGTERM)
        self.assertEqual(process.status(), 0)
        self.assertEqual(process.rest(), lines)

    def test_the_last_lines_come_first(self):
        self.append("a", "".join("%d\n" % n for n in range(100000)))
        process = self.follow("a")
        for n in range(99990, 100000):
            self.assertEqual(process.line(), str(n))
        self.append("a", "more\n")
        self.assertEqual(process.line(), "more")
        self.ends_well(process, [])

    def test_a_file_that_is_rotated(self):
        self.append("a", "1\n")
        process = self.follow("a")
        self.assertEqual(process.line(), "1")
        os.rename(self.path("a"), self.path("a.1"))
        self.append("a.1", "2\n")
        self.says(process, "/a is gone")
        self.append("a.1", "3\n")
        self.append("a", "4\n")
        for n in "234":
            self.assertEqual(process.line(), n)
        self.says(process, "/a was replaced")
        self.append("a.1", "5\n")
        self.append("a", "6\n")
        self.assertEqual(process.line(), "6")
        self.ends_well(process, [])

    def test_a_file_that_is_replaced_at_once(self):
        self.append("a", "1\n")
        process = self.follow("a")
        self.assertEqual(process.line(), "1")
        for n in range(2, 20):
            self.append("new", "%d\n" % n)
            os.rename(self.path("new"), self.path("a"))
            self.assertEqual(process.line(), str(n))
        self.ends_well(process, [])

    def test_a_file_that_is_cut_off(self):
        self.append("a", "a long line\n")
        process = self.follow("a")
        self.assertEqual(process.line(), "a long line")
        os.truncate(self.path("a"), 0)
        self.says(process, "/a was cut off")
        self.append("a", "short\n")
        self.assertEqual(process.line(), "short")
        self.ends_well(process, [])

    def test_several_files_of_which_one_is_not_there_yet(self):
        self.append("a", "1\n")
        process = self.follow("a", "b")
        self.says(process, "/b No such file")
        self.assertEqual(process.line(), "==> %s <==" % self.path("a"))
        self.assertEqual(process.line(), "1")
        self.append("b", "2\n")
        self.assertEqual([process.line() for _ in range(3)],
                         ["", "==> %s <==" % self.path("b"), "2"])
        self.says(process, "/b is there")
        self.append("b", "3\n")
        self.assertEqual(process.line(), "3")
        self.append("a", "4\n")
        self.assertEqual([process.line() for _ in range(3)],
                         ["", "==> %s <==" % self.path("a"), "4"])
        self.ends_well(process, [])

    def test_it_ends_when_nothing_is_left_to_follow(self):
        process = self.follow("a")
        self.says(process, "/a No such file")
        os.rmdir(self.where)
        self.assertEqual(process.status(), 0)
        self.says(process, "its directory is gone")
        os.mkdir(self.where)

    def test_without_a_directory_there_is_nothing_to_follow(self):
        process = self.follow("b/c")
        self.ends(process, 2, None)


class Checksum(ProgramTest):
    def pipe(self):
        """A pipe with a name that nobody writes: to open it blocks."""
        where = tempfile.TemporaryDirectory()
        self.addCleanup(where.cleanup)
        name = os.path.join(where.name, "pipe")
        os.mkfifo(name)
        return name

    def let_go(self, name):
        """Waits until a thread has opened the pipe, which it reads then."""
        return os.open(name, os.O_WRONLY)

    def test_sums_are_those_of_zlib(self):
        pieces = [b"", b"123456789", poem("ecstasy"), bytes(range(256)) * 4096]
        names = [self.file(piece) for piece in pieces]
        process = self.start("checksum", *names)
        self.ends(process)
        self.assertEqual(sorted(process.out.decode().splitlines()),
                         sorted("%08x  %s" % (zlib.crc32(piece), name)
                                for piece, name in zip(pieces, names)))

    def test_more_files_than_a_pool_usually_takes(self):
        name = self.file(b"a")
        self.prints(["e8b7be43  " + name] * 3000, "checksum", *[name] * 3000)

    def test_a_file_that_is_not_there_is_said(self):
        name = self.file(b"a")
        process = self.start("checksum", "/nowhere", name)
        self.ends(process, 1, None)
        self.assertEqual(process.out.decode(), "e8b7be43  %s\n" % name)
        self.assertRegex(process.err.decode(),
                         r"^OSError: /nowhere.*No such file or directory.*\n$")

    def test_progress_comes_to_the_end(self):
        process = self.start("checksum", "--progress", self.file(bytes(1 << 20)))
        self.ends(process, 0, None)
        shown = [int(n) for n in re.findall(r"(\d+) %", process.err.decode())]
        self.assertEqual(shown, sorted(shown))
        self.assertEqual(shown[-1], 100)

    def test_an_interrupt_waits_for_no_thread(self):
        blocked, never = self.pipe(), self.pipe()
        process = self.start("checksum", "--threads", "2", blocked, blocked,
                             self.file(b"a"), never)
        writer = self.let_go(blocked)
        self.addCleanup(os.close, writer)
        begin = time.monotonic()
        process.signal(signal.SIGINT)
        self.ends(process, 1)
        # A shutdown that waited would take 5 seconds.
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(process.out, b"")

    def test_one_that_blocks_does_not_hold_up_the_others(self):
        blocked, name = self.pipe(), self.file(b"a")
        process = self.start("checksum", "--threads", "2", blocked, name)
        self.assertEqual(process.line(), "e8b7be43  " + name)
        writer = self.let_go(blocked)
        os.write(writer, b"a")
        os.close(writer)
        self.assertEqual(process.line(), "e8b7be43  " + blocked)
        self.ends(process)


class Supervise(ProgramTest):
    def supervise(self, *words):
        return self.start("supervise", *words)

    def begins(self, process, says=None):
        """The command has begun to run; it may be the first to say so."""
        lines = [process.line() for _ in range(1 if says is None else 2)]
        if says is not None:
            self.assertIn(says, lines)
            lines.remove(says)
        self.assertRegex(lines[0], r"^started as [0-9]+$")

    def test_a_command_that_ends_runs_again_later_each_time(self):
        process = self.supervise("sh", "-c", "exit 3")
        delays = []
        for _ in range(3):
            self.begins(process)
            self.assertEqual(process.line(), "ended with 3")
            delays.append(float(re.fullmatch(r"again in ([0-9.]+) s",
                                             process.line()).group(1)))
        self.assertLess(delays[0], delays[1])
        self.assertLess(delays[1], delays[2])
        process.signal(signal.SIGTERM)
        self.ends(process)

    def test_a_run_that_was_long_enough_ends_the_waiting(self):
        process = self.supervise("--uptime", "0.001", "sh", "-c",
                                 "sleep 0.05; kill -USR1 $$")
        for _ in range(3):
            self.begins(process)
            self.assertEqual(process.line(), "ended by signal 10")
            delay = float(process.line().split()[2])
            self.assertLess(delay, 0.4)
        process.signal(signal.SIGINT)
        self.ends(process)

    def test_a_command_that_is_not_there_is_tried_again(self):
        process = self.supervise("/nonexistent/poem", "--help")
        self.assertEqual(process.line(),
                         "cannot start: exec: No such file or directory")
        self.assertRegex(process.line(), "^again in ")
        process.signal(signal.SIGTERM)
        self.ends(process)

    def test_a_signal_stops_the_command_and_waits_for_it(self):
        process = self.supervise("sh", "-c",
                                 "trap 'echo bye; exit 0' TERM; echo ready; "
                                 "while :; do sleep 0.05; done")
        self.begins(process, "ready")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.line(), "bye")
        self.assertEqual(process.line(), "ended with 0")
        self.ends(process, 0, None)  # a shell may say what was terminated

    def test_who_ignores_it_is_killed_with_all_whom_it_has_started(self):
        process = self.supervise("--grace", "0.2", "sh", "-c",
                                 "trap '' TERM; (echo ready; while :; do "
                                 "sleep 1000; done) & wait; sleep 1000")
        self.begins(process, "ready")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.line(), "ended by signal 9")
        self.ends(process, 0, None)
        # Its output has ended, so nobody has it any more.
        self.assertEqual([r for r in process.readers if r.is_alive()], [])

    def test_a_second_signal_waits_for_no_grace(self):
        for number in signal.SIGINT, signal.SIGTERM:
            process = self.supervise("--grace", "1000", "sh", "-c",
                                     "trap 'echo no' TERM; echo ready; "
                                     "while :; do sleep 0.05; done")
            self.begins(process, "ready")
            process.signal(signal.SIGINT)
            self.assertEqual(process.line(), "no")
            time.sleep(0.2)  # what comes within 0.1 s is the first one again
            process.signal(number)
            self.assertEqual(process.line(), "ended by signal 9")
            self.ends(process, 0, None)

    def test_the_command_dies_with_a_supervisor_that_is_killed(self):
        process = self.supervise("sh", "-c", "echo ready; exec sleep 1000")
        self.begins(process, "ready")
        process.signal(signal.SIGKILL)
        self.ends(process, -signal.SIGKILL)
        self.assertEqual([r for r in process.readers if r.is_alive()], [])

    def test_with_orphans_it_waits_for_them(self):
        process = self.supervise("--orphans", "sh", "-c",
                                 "(setsid sleep 0.1 >/dev/null &); sleep 1000")
        self.begins(process)
        self.assertRegex(process.line(), "^orphan [0-9]+ has ended$")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.line(), "ended by signal 15")
        self.ends(process)

    def test_as_process_1_it_waits_for_orphans(self):
        unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
        try:
            subprocess.run([*unshare, "true"], check=True, timeout=60,
                           stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("no namespace of processes may be made here")
        with tempfile.TemporaryDirectory() as d:
            name = os.path.join(d, "orphan")
            os.mkfifo(name)
            # The number of a process is in use until somebody waits for it.
            out = subprocess.run(
                [*unshare, os.path.join(BUILD, "samples", "supervise"), "sh",
                 "-c", "(setsid sh -c 'echo $$ >%s' >/dev/null &); "
                 "read n <%s; while kill -0 $n; do :; done 2>/dev/null; "
                 "kill -TERM 1; sleep 1000" % (name, name)],
                check=True, timeout=300, stdout=subprocess.PIPE,
                text=True).stdout
        self.assertRegex(out, r"(?s)^started as [0-9]+\n.*"
                         r"orphan [0-9]+ has ended\n.*ended by signal 15\n")


class Console(ProgramTest):
    def command(self, server):
        return "%s --reactor %s 127.0.0.1 %d" % (
            os.path.join(BUILD, "samples", "console"), self.backend,
            server.port)

    def terminal(self, *argv):
        """Starts a program with a terminal of its own; the other side of it."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execvp(argv[0], argv)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.close, fd)
        return fd

    def expect(self, fd, text):
        """Reads until that text has come, and returns all."""
        seen = b""
        while text not in seen:
            ready, _, _ = select.select([fd], [], [], DEADLINE)
            self.assertTrue(ready, seen)
            try:
                seen += os.read(fd, 65536)
            except OSError:
                self.fail("the end comes before %r: %r" % (text, seen))
        return seen

    def test_a_file_goes_there_and_the_answer_comes_back(self):
        data = b"".join(b"line %d\n" % i for i in range(100000))
        server = self.serve("echo")
        process = self.start("console", "127.0.0.1", server.port, stdin=data)
        self.ends(process)
        self.assertEqual(process.out, data)
        self.stop(server)

    def test_the_answer_may_come_after_the_end_of_the_request(self):
        server = self.upstream()
        process = self.start("console", "127.0.0.1", server.port,
                             stdin=b"request")
        connection = server.accept()
        with connection.makefile("rb") as f:
            self.assertEqual(f.read(), b"request")
        connection.sendall(b"answer")
        connection.close()
        self.ends(process)
        self.assertEqual(process.out, b"answer")

    def test_in_a_pipeline_it_ends_with_its_reader(self):
        server = self.serve("echo")
        run = subprocess.run(
            ["sh", "-c", "yes | %s | head -n 3" % self.command(server)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)
        self.assertEqual((run.stdout, run.stderr), (b"y\ny\ny\n", b""))
        self.stop(server)

    def test_a_full_disk_is_told(self):
        server = self.serve("echo")
        run = subprocess.run(
            ["sh", "-c", "echo hello | %s >/dev/full" % self.command(server)],
            stderr=subprocess.PIPE, timeout=DEADLINE)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"No space left on device", run.stderr)
        self.stop(server)

    def test_a_server_that_refuses_is_told(self):
        process = self.start("console", "127.0.0.1", self.refused_port())
        self.ends(process, 1, None)
        self.assertIn(b"refused", process.err)

    def test_what_is_closed_is_told(self):
        server = self.serve("echo")
        run = subprocess.run(["sh", "-c", self.command(server) + " <&-"],
                             stderr=subprocess.PIPE, timeout=DEADLINE)
        self.assertEqual(run.returncode, 2)
        self.assertIn(b"Bad file descriptor", run.stderr)
        self.stop(server)

    def test_the_shell_can_still_read_its_terminal(self):
        server = self.serve("echo")
        fd = self.terminal("sh", "-c", self.command(server) +
                           "; read line; echo \"got $line\"; read line")
        os.write(fd, b"to the server\n")
        self.expect(fd, b"to the server\r\nto the server\r\n")
        os.write(fd, b"\x04")  # the end of the input
        os.write(fd, b"to the shell\n")
        self.expect(fd, b"got to the shell\r\n")
        os.write(fd, b"\n")
        self.stop(server)

    @unittest.skipUnless(shutil.which("bash"), "there is no bash")
    def test_it_is_stopped_and_goes_on_in_the_foreground(self):
        server = self.upstream()
        fd = self.terminal("bash", "--norc", "--noprofile", "-i")
        os.write(fd, b"PS1=READY; " + self.command(server).encode() + b"\n")
        connection = server.accept()

        def talk(text):
            os.write(fd, text)
            self.assertEqual(connection.recv(100), text)
            connection.sendall(b"answer to " + text)
            self.expect(fd, b"answer to " + text[:-1] + b"\r\n")

        talk(b"first\n")
        os.write(fd, b"\x1a")  # Ctrl-Z
        self.expect(fd, b"Stopped")
        os.write(fd, b"fg\n")
        self.expect(fd, b"console")
        connection.sendall(b"it runs\n")
        self.expect(fd, b"it runs\r\n")
        talk(b"second\n")
        connection.close()
        self.expect(fd, b"READY")
        os.write(fd, b"echo status $?\n")
        self.expect(fd, b"status 0\r\n")
        os.write(fd, b"exit\n")


class Resolve(ProgramTest):
    A, PTR, MX, AAAA = 1, 12, 15, 28

    def server(self, silent=False):
        poem = dns_name("poem.test")
        server = NameServer(None if silent else {
            (poem, self.A): [socket.inet_aton("192.0.2.1"),
                             socket.inet_aton("192.0.2.2")],
            (poem, self.AAAA): [socket.inet_pton(socket.AF_INET6, "2001:db8::1")],
            (poem, self.MX): [b"\0\x0a" + dns_name("mail.test"),
                              b"\0\x14" + dns_name("bad \n.test")],
            (dns_name("1.2.0.192.in-addr.arpa"), self.PTR): [poem],
        })
        self.addCleanup(server.close)
        return server

    def resolve(self, server, *args, status=0, err=b""):
        """Sorted, as the order of addresses is that of the machine's routes."""
        process = self.start("resolve", "--server", server.address, *args)
        self.ends(process, status, err)
        return sorted(process.out.decode().splitlines())

    def test_addresses_of_each_name(self):
        self.assertEqual(self.resolve(self.server(), "poem.test.", "192.0.2.9"),
                         ["192.0.2.9 192.0.2.9", "poem.test. 192.0.2.1",
                          "poem.test. 192.0.2.2", "poem.test. 2001:db8::1"])

    def test_records_cannot_command_a_terminal(self):
        self.assertEqual(self.resolve(self.server(), "--type", "mx", "poem.test"),
                         ["poem.test 600 MX 10 mail.test",
                          "poem.test 600 MX 20 bad\\032\\010.test"])

    def test_names_of_an_address(self):
        self.assertEqual(self.resolve(self.server(), "--reverse", "192.0.2.1"),
                         ["192.0.2.1 poem.test"])

    def test_a_number_and_localhost_ask_nobody(self):
        server = self.server()
        self.assertEqual(self.resolve(server, "localhost", "192.0.2.1"),
                         ["192.0.2.1 192.0.2.1", "localhost 127.0.0.1",
                          "localhost ::1"])
        self.assertEqual(server.asked, 0)

    def test_the_second_time_it_is_remembered(self):
        server = self.server()
        process = self.start("resolve", "--server", server.address, "--twice",
                             "--time", "--type", "A", "poem.test")
        self.ends(process)
        lines = process.out.decode().splitlines()
        self.assertEqual(lines[:2], lines[3:5])
        self.assertRegex(lines[2], r"^poem\.test: 2 found in [0-9.]+ s, by %s$"
                         % server.address)
        self.assertRegex(lines[5], r"s, remembered from %s$" % server.address)
        self.assertEqual(server.asked, 1)

    def test_addresses_come_with_their_server(self):
        server = self.server()
        process = self.start("resolve", "--server", server.address, "--time",
                             "poem.test.", "localhost")
        self.ends(process)
        times = [line for line in process.out.decode().splitlines()
                 if "found" in line]
        self.assertRegex("\n".join(sorted(times)),
                         r"^localhost: 2 found in [0-9.]+ s\n"
                         r"poem\.test\.: 3 found in [0-9.]+ s, by %s$"
                         % server.address)

    def test_one_name_is_not_there_and_the_others_come(self):
        process = self.start("resolve", "--server", self.server().address,
                             "nothing.test.", "poem.test.")
        self.ends(process, 1, None)
        self.assertEqual(len(process.out.splitlines()), 3)
        self.assertRegex(process.err.decode(),
                         r"^DNSNoNameError: nothing\.test .*\n$")

    def test_no_record_of_that_type(self):
        process = self.start("resolve", "--server", self.server().address,
                             "--type", "TXT", "poem.test")
        self.ends(process, 1, None)
        self.assertEqual(process.out, b"")
        self.assertRegex(process.err.decode(), r"^DNSNoDataError: poem\.test TXT")

    def test_a_silent_server_is_given_up(self):
        server = self.server(silent=True)
        process = self.start("resolve", "--server", server.address,
                             "--timeout", "0.05", "poem.test.")
        self.ends(process, 1, None)
        self.assertRegex(process.err.decode(), r"^DNSTimeoutError: poem\.test.*\n$")
        self.assertGreater(server.asked, 0)

    def test_a_signal_ends_it(self):
        server = self.server(silent=True)
        process = self.start("resolve", "--server", server.address, "poem.test.")
        deadline = time.monotonic() + DEADLINE
        while server.asked == 0:
            self.assertLess(time.monotonic(), deadline)
            os.sched_yield()
        self.stop(process)
        self.assertEqual(process.out, b"")

    def test_the_c_library_knows_numbers(self):
        self.prints(["192.0.2.1 192.0.2.1"], "resolve", "--system", "192.0.2.1")

    def test_mistakes_of_the_command_line(self):
        for args, text in ((["--type", "NOTYPE", "a"], "--type NOTYPE"),
                           (["--reverse", "poem.test"], "not an address"),
                           (["--reverse", "--type", "A", "::1"], "no use"),
                           ([], "NAME")):
            process = self.start("resolve", *args)
            self.assertEqual(process.status(), 2)
            self.assertIn(text, process.err.decode())


class Ticker(ProgramTest):
    def ticks(self, process, n):
        numbers = []
        for _ in range(n):
            match = re.fullmatch(r"tick (\d+)", process.line())
            numbers.append(int(match.group(1)))
        return numbers

    def test_keeps_time(self):
        begin = time.monotonic()
        process = self.start("ticker", "--hz", "50")
        numbers = self.ticks(process, 20)
        elapsed = time.monotonic() - begin
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertGreaterEqual(numbers[0], 1)
        # Never early: tick N is N/50 s after the start.
        self.assertGreaterEqual(elapsed, numbers[-1] / 50)
        self.stop(process)

    def test_a_held_up_ticker_skips_and_never_bursts(self):
        process = self.start("ticker", "--hz", "100")
        last = self.ticks(process, 5)[-1]
        process.signal(signal.SIGSTOP)
        begin = time.monotonic()
        select.select([], [], [], .5)  # the time that it is to miss
        held = time.monotonic() - begin
        process.signal(signal.SIGCONT)
        numbers = [last] + self.ticks(process, 20)
        gaps = [b - a for a, b in zip(numbers, numbers[1:])]
        self.assertGreater(min(gaps), 0)
        self.assertGreaterEqual(max(gaps), held * 100 - 5)
        self.stop(process)

    def test_default(self):
        begin = time.monotonic()
        process = self.start("ticker")
        numbers = self.ticks(process, 5)
        self.assertGreaterEqual(time.monotonic() - begin, numbers[-1] / 10)
        self.stop(process)


class SimulatedTest(ProgramTest):
    """Has nothing to do with the backend."""

    def test_all_seeds_pass(self):
        self.prints(["200 seeds passed"], "simulated-test", "--seeds", 200)

    def test_the_seed_that_finds_the_leak_finds_it_again(self):
        process = self.start("simulated-test", "--leak")
        self.ends(process, 1, None)
        self.assertEqual(process.out, b"")
        found = re.search(rb"^plait: seed (0x\w+), .*: no answer on a perfect "
                          rb"network$", process.err, re.M)
        self.assertTrue(found, process.err)
        again = self.start("simulated-test", "--leak",
                           env={"PLAIT_SEED": found[1].decode()})
        self.ends(again, 1, process.err)


class Demo(ProgramTest):
    def test_goes_as_it_should(self):
        begin = time.monotonic()
        process = self.start("demo")
        self.ends(process)
        self.assertLess(time.monotonic() - begin, 15)
        out = process.out.decode()
        for line in [r"server  \| Serving \S+ on port \d+\.",
                     r"server  \| Sending \d+ bytes",
                     r"proxy   \| Fetching poem from server\.",
                     r"proxy   \| Canceling poem download\.",
                     r"proxy   \| Using cached poem\.",
                     r"client 1\| TimeoutError: no poem from "]:
            self.assertRegex(out, "(?m)^" + line)
        self.assertEqual(out.count("\nok "), 6)
        self.assertNotIn("WRONG", out)

    def test_trace_links_the_cancel_to_the_closed_connection(self):
        trace = self.file(b"")
        process = self.start("demo", env={"PLAIT_TRACE": trace})
        upstream = None
        while upstream is None:
            upstream = re.search(r"server  \| Serving .* on port (\d+)",
                                 process.line())
        self.ends(process)
        with open(trace) as f:
            events = json.load(f)["traceEvents"]
        start, = [e for e in events if e["ph"] == "s"]
        end, = [e for e in events if e["ph"] == "f"]
        self.assertEqual((start["name"], start["cat"], start["id"]),
                         (end["name"], end["cat"], end["id"]))
        # An arrow starts in the slice of the cancel, and ends in that of
        # the closed connection, which was opened to the upstream server.
        cancel, = [e for e in events
                   if e["ph"] == "B" and e["name"] == "cancel"]
        self.assertEqual(cancel["ts"], start["ts"])
        closed, = [e for e in events if e["ph"] == "X"]
        self.assertEqual(closed["ts"], end["ts"])
        self.assertLess(start["ts"], end["ts"])
        opened = [e for e in events
                  if e["ph"] == "b" and e["name"] == "connection"
                  and e["id"] == closed["args"]["object"]
                  and e["ts"] < start["ts"]][-1]
        self.assertEqual(opened["args"]["address"],
                         "127.0.0.1:" + upstream.group(1))

    def test_says_when_it_does_not(self):
        # An empty poem is there at once, so nobody can hang up on it.
        process = self.start("demo", self.file(b""))
        self.assertEqual(process.status(), 1)
        self.assertIn(b"\nWRONG ", process.out)

    def test_leaves_no_child_behind(self):
        process = self.start("demo")
        children = set()
        while not any("client 1" in n for n in process.out.decode().split("\n")
                      ) and len(children) < 3:
            process.line()
            children |= set(children_of(process.pid))
        process.signal(signal.SIGTERM)
        self.assertEqual(process.status(), 1)
        self.assertTrue(children)
        for pid in children:
            self.assertFalse(os.path.exists("/proc/%d" % pid))


def children_of(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(n) for n in f.read().split()]
    except FileNotFoundError:
        return []


def backends(base):
    """The tests of a class, once for each backend."""
    for backend in BACKENDS:
        cls = type(base.__name__ + "_" + backend, (base,),
                   {"backend": backend})
        yield from unittest.defaultTestLoader.loadTestsFromTestCase(cls)


def run(test):
    result = unittest.TestResult()
    begin = time.monotonic()
    test.run(result)
    return test, result, time.monotonic() - begin


def main():
    global BUILD
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.environ.get("O", "build"))
    parser.add_argument("-j", type=int, default=4 * (os.cpu_count() or 1),
                        help="so many at once: they mostly wait")
    parser.add_argument("-v", action="store_true", help="name each test")
    parser.add_argument("name", nargs="*")
    args = parser.parse_args()
    BUILD = os.path.abspath(args.build)
    # Shells start what they put in the background with SIGINT ignored, and a
    # program leaves what is ignored alone.  A handler is not inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    tests = [t for base in ProgramTest.__subclasses__() for t in backends(base)
             if not args.name or any(n in t.id() for n in args.name)]
    # The longest first.
    tests.sort(key=lambda t: "Demo" not in t.id())
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for test, result, seconds in pool.map(run, tests):
            bad = result.errors + result.failures
            failed += bool(bad)
            if bad or args.v:
                print("%s %s (%.1f s)" % ("FAILED" if bad else "ok",
                                          test.id().split(".", 1)[1], seconds))
            for _, trace in bad:
                print(trace)
            sys.stdout.flush()
    print("%d passed, %d failed" % (len(tests) - failed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
