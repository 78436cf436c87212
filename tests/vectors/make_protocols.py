#!/usr/bin/env python3
"""
Records what the receivers of Twisted do with random input in random chunks.

    python3 tests/vectors/make_protocols.py >tests/vectors/protocols.txt

Needs Twisted (22.4 made what is in the tree); the tests need only the file.
tests/test_vectors.c describes the format and replays it.

The input is a program: what a message begins with says what the receiver does
when it gets it, so the same program runs in C.  Each is run twice, in chunks
and byte by byte.  plait promises the events of the second run however the
input is cut; where Twisted's own differ in chunks, they are recorded, too.
"""

import random
import struct

import twisted
from twisted.protocols import basic


class Transport:
    """Delivers like a real one: nothing while paused, nothing after a close."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.queue = []
        self.paused = self.disconnecting = self.aborting = False
        self.disconnected = False

    def loseConnection(self):
        self.disconnecting = True

    def abortConnection(self):
        self.aborting = True

    def pauseProducing(self):
        self.paused = True

    def resumeProducing(self):
        self.paused = False

    def deliver(self, data):
        if data:
            self.queue.append(data)
        while self.queue and not self.paused:
            chunk = self.queue.pop(0)
            if self.disconnecting or self.aborting:
                return
            self.protocol.dataReceived(chunk)


class Recorder:
    """What the test's C protocol does, in Python."""

    go_on = False

    def begin(self):
        self.events = []
        self.transport = Transport(self)
        if hasattr(self, "makeNetstring"):
            self.makeConnection(self.transport)

    def event(self, name, data=b""):
        self.events.append([name, data])

    def act(self, message):
        action = message[:1]
        if action == b"C":
            self.transport.loseConnection()
        elif action == b"A":
            self.transport.abortConnection()
        elif action == b"P":
            self.pauseProducing()

    def resume(self):
        if self.transport.paused:
            self.resumeProducing()
            self.transport.deliver(b"")


class LineEvents(Recorder):
    delimiter_may_change = False

    def lineReceived(self, line):
        self.event("line", line)
        self.act(line)
        if line[:1] == b"M" and line[1:2].isdigit():
            self.MAX_LENGTH = 2 + int(line[1:2])
        elif line[:1] == b"D" and self.delimiter_may_change:
            self.delimiter = {b"1": b"\n", b"2": b"\r\n", b"3": b"aab"}.get(
                line[1:2], self.delimiter
            )

    def lineLengthExceeded(self, line):
        self.event("long", line)
        if not self.go_on:
            self.transport.loseConnection()


class Line(LineEvents, basic.LineReceiver):
    delimiter_may_change = True
    raw_left = 0

    def act(self, line):
        super().act(line)
        if line[:1] == b"Q":
            self.pauseProducing()
            self.resumeProducing()
        elif line[:1] == b"R" and line[1:2].isdigit():
            self.raw_left = 1 + int(line[1:2])
            self.setRawMode()

    def rawDataReceived(self, data):
        mine, extra = data[: self.raw_left], data[self.raw_left :]
        self.raw_left -= len(mine)
        if self.events and self.events[-1][0] == "raw":
            self.events[-1][1] += mine
        else:
            self.event("raw", mine)
        if self.raw_left == 0:
            if mine[-1:] == b"C":
                self.transport.loseConnection()
            elif mine[-1:] == b"P":
                self.pauseProducing()
            self.setLineMode(extra)


class LineOnly(LineEvents, basic.LineOnlyReceiver):
    def act(self, line):
        if line[:1] != b"P":
            super().act(line)


class Netstring(Recorder, basic.NetstringReceiver):
    makeNetstring = True

    def stringReceived(self, string):
        self.event("string", string)
        if string[:1] != b"P":
            self.act(string)

    def _handleParseError(self):
        self.event("fail")
        super()._handleParseError()


class IntN(Recorder):
    def stringReceived(self, string):
        self.event("string", string)
        self.act(string)

    def lengthLimitExceeded(self, length):
        self.event("limit", struct.pack("!I", length))
        self.transport.loseConnection()


class Int8(IntN, basic.Int8StringReceiver):
    pass


class Int16(IntN, basic.Int16StringReceiver):
    pass


class Int32(IntN, basic.Int32StringReceiver):
    pass


def play(kind, settings, chunks):
    p = kind()
    p.begin()
    p.MAX_LENGTH = settings["max"]
    if "delimiter" in settings:
        p.delimiter = settings["delimiter"]
        p.go_on = settings["go_on"]
    for chunk in chunks:
        if chunk is None:
            p.resume()
        else:
            p.transport.deliver(chunk)
    return p.events


def byte_by_byte(chunks):
    for chunk in chunks:
        if chunk is None:
            yield None
        else:
            yield from (chunk[i : i + 1] for i in range(len(chunk)))


def cut(rnd, data, with_resumes):
    chunks = []
    while data:
        n = rnd.choice([1, 2, 3, 5, 8, 13, 40, 1000])
        n = rnd.randint(1, n)
        chunks.append(data[:n])
        data = data[n:]
        while with_resumes and rnd.random() < 0.3:
            chunks.append(None)
    chunks.extend([None] * (8 if with_resumes else 0))
    return chunks


def text(rnd, n):
    return bytes(rnd.choice(b"abcxyz\r\n 019") for _ in range(n))


def message(rnd, longest, actions):
    body = text(rnd, rnd.randint(0, longest))
    if rnd.random() < 0.35:
        body = rnd.choice(actions) + body
    return body


def line_program(rnd, actions):
    delimiter = rnd.choice([b"\r\n", b"\r\n", b"\n", b"aab", b"\0"])
    settings = {
        "max": rnd.choice([1, 4, 5, 6, 10, 30]),
        "delimiter": delimiter,
        "go_on": rnd.random() < 0.5,
    }
    longest = settings["max"] + rnd.choice([-2, -1, -1, -1, -1, 0, 0, 1, 2])
    longest = max(longest, 0)
    data = b""
    for _ in range(rnd.randint(1, 10)):
        body = message(rnd, longest, actions)
        data += body + rnd.choice([delimiter] * 8 + [b"\r\n", b"\n", b""])
    return settings, data


def netstring_program(rnd):
    settings = {"max": rnd.choice([1, 5, 9, 10, 30, 99999])}
    data = b""
    for _ in range(rnd.randint(1, 8)):
        body = message(rnd, min(settings["max"] + 1, 40), [b"C", b"A", b"P"])
        length, end = b"%d" % len(body), b","
        if rnd.random() < 0.08:
            length = rnd.choice(
                [b"", b"0" + length, b"+" + length, b"-1", b" " + length,
                 length + b" ", b"1x", b"9" * 25, b"100000", b"\0"]
            )
        elif rnd.random() < 0.05:
            end = rnd.choice([b"", b";", b",,"])
        data += length + b":" + body + end
    return settings, data


def intn_program(rnd, form):
    settings = {"max": rnd.choice([1, 5, 30, 99999])}
    data = b""
    for _ in range(rnd.randint(1, 8)):
        body = message(rnd, min(settings["max"], 40), [b"C", b"A", b"P"])
        body = body[: settings["max"]]
        length = len(body)
        if rnd.random() < 0.06:
            length = rnd.choice([settings["max"] + 1, 2 ** (8 * form[1]) - 1])
            length %= 2 ** (8 * form[1])
        data += struct.pack(form[0], length) + body
    return settings, data


def show(name, settings, chunks, events, twisted_events):
    words = [name, "max=%d" % settings["max"]]
    if "delimiter" in settings:
        words.append("delimiter=" + settings["delimiter"].hex())
        words.append("long=" + ("goes-on" if settings["go_on"] else "closes"))
    print(*words)
    for chunk in chunks:
        print("~" if chunk is None else "> " + chunk.hex())
    for event, data in events:
        print("=", event, data.hex())
    if twisted_events == events:
        print(".")
        return
    for event, data in twisted_events:
        print("!", event, data.hex())
    print("?")


def make(name, kind, oracle, count, program, with_resumes, seed):
    rnd = random.Random(seed)
    for _ in range(count):
        settings, data = program(rnd)
        chunks = cut(rnd, data, with_resumes)
        events = play(oracle, settings, byte_by_byte(chunks))
        show(name, settings, chunks, events, play(kind, settings, chunks))


def main():
    print("# Recorded from Twisted %s by make_protocols.py" % twisted.version.short())
    line = [b"C", b"A", b"P", b"Q", b"R0", b"R3", b"R9", b"R3", b"M3", b"M9",
            b"D1", b"D2", b"D3"]
    only = [b"C", b"A", b"M3", b"M9"]
    make("line", Line, Line, 400, lambda r: line_program(r, line), True, 1)
    make("line-only", LineOnly, Line, 200, lambda r: line_program(r, only), False, 2)
    make("netstring", Netstring, Netstring, 250, netstring_program, False, 3)
    make("int8", Int8, Int8, 120, lambda r: intn_program(r, ("!B", 1)), True, 4)
    make("int16", Int16, Int16, 120, lambda r: intn_program(r, ("!H", 2)), True, 5)
    make("int32", Int32, Int32, 120, lambda r: intn_program(r, ("!I", 4)), True, 6)


if __name__ == "__main__":
    main()
