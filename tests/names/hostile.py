#!/usr/bin/env python3
"""A server that does everything that a server must not do, and what the library
makes of it: it believes nothing that is not the answer, it does not crash, and
every lookup ends in time.

usage: hostile.py [NAME...]

The first label of a name says what the server does: each attack is a function
below.  What it wants to be believed is the address POISON; the true answer is
TRUTH.  NAME picks attacks.
"""

import os
import random
import resource
import socket
import struct
import subprocess
import sys
import threading
import time

import world

ASK = os.path.join(os.environ.get("O", "build"), "tests", "names", "ask")
HOSTILE, STRANGER = "127.0.0.20", "127.0.0.21"
DEAD = ["127.0.0.%d" % i for i in range(31, 34)]
TRUTH, POISON = "192.0.2.1", "6.6.6.6"
ZONE = b"\4evil\4test\0"
A, CNAME, SOA, OPT = 1, 5, 6, 41
TC, NXDOMAIN, FORMERR, SERVFAIL = 0x0200, 3, 1, 2
# Seconds that a question may take under resolv.conf below: one try of a second
# at one server, and another by TCP; and that a busy machine adds.
LIMIT, SLACK = 2.0, 3.0


class Question:
    """A question as it came, and messages that answer it or nearly do."""

    def __init__(self, message, send, send_from):
        self.message = message
        end = message.index(b"\0", 12) + 5
        self.id = message[:2]
        self.section = message[12:end]
        self.has_edns = message[10:12] != b"\0\0"
        self.first = message[13:13 + message[12]].decode().split("-")
        self.send = send            # from where the question went
        self.send_from = send_from  # from another socket, by UDP

    def reply(self, address=TRUTH, *, ident=None, flags=0x8180, section=None,
              records=None, counts=None):
        if records is None:
            records = [b"\xc0\x0c" + rr(A, socket.inet_aton(address))]
        counts = counts or (1, len(records), 0, 0)
        return ((self.id if ident is None else ident) +
                struct.pack(">5H", flags, *counts) +
                (self.section if section is None else section) +
                b"".join(records))


def rr(kind, data, ttl=60):
    """A record, without the name before it."""
    return struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def name(text):
    return b"".join(bytes([len(label)]) + label.encode()
                    for label in text.split(".")) + b"\0"


ATTACKS = {}


def attack(expect, times=1, tcp=False):
    """Registers an attack.  expect is what has to come of it: "truth"; "fail",
    which is any failure; "any", which is any but POISON; or the kind of a
    failure."""
    def register(function):
        key = function.__name__.replace("_", "")
        ATTACKS[key] = (function, expect, times, tcp)
        return function
    return register


def then_truth(function):
    """The same, with the true answer behind it."""
    def both(q, number):
        function(q, number)
        q.send(q.reply())
    both.__name__ = "then_" + function.__name__
    attack("truth")(both)
    return function


# Answers to something else

@then_truth
@attack("fail")
def wrong_id(q, number):
    q.send(q.reply(POISON, ident=bytes([q.id[0] ^ 1, q.id[1]])))


@then_truth
@attack("fail")
def all_ids_but_one(q, number):
    """A guess at each id that is near."""
    mine = int.from_bytes(q.id, "big")
    for i in range(1, 200):
        q.send(q.reply(POISON, ident=((mine + i) & 0xffff).to_bytes(2, "big")))


@then_truth
@attack("fail")
def wrong_port(q, number):
    q.send_from(HOSTILE, q.reply(POISON))


@then_truth
@attack("fail")
def wrong_address(q, number):
    q.send_from(STRANGER, q.reply(POISON))


@then_truth
@attack("fail")
def wrong_name(q, number):
    q.send(q.reply(POISON, section=name("other.evil.test") + q.section[-4:]))


@then_truth
@attack("fail")
def wrong_type(q, number):
    q.send(q.reply(POISON, section=q.section[:-4] + b"\0\x10\0\1"))


@then_truth
@attack("fail")
def wrong_class(q, number):
    q.send(q.reply(POISON, section=q.section[:-4] + b"\0\1\0\3"))


@then_truth
@attack("fail")
def no_answer_bit(q, number):
    q.send(q.reply(POISON, flags=0x0180))


@then_truth
@attack("fail")
def wrong_opcode(q, number):
    q.send(q.reply(POISON, flags=0xa980))


@then_truth
@attack("fail")
def no_question(q, number):
    q.send(q.reply(POISON, section=b"", counts=(0, 1, 0, 0)))


@then_truth
@attack("fail")
def two_questions(q, number):
    q.send(q.reply(POISON, section=q.section * 2, counts=(2, 1, 0, 0)))


@then_truth
@attack("fail")
def the_question_itself(q, number):
    q.send(q.message)


@attack("truth")
def other_case(q, number):
    q.send(q.reply(section=q.section.upper()))


@attack("truth")
def truth_then_poison(q, number):
    q.send(q.reply())
    q.send(q.reply(POISON))


@attack("any")
def twice(q, number):
    q.send(q.reply())
    q.send(q.reply())


# Messages that are none

@attack("any", times=80)
def cut(q, number):
    """At each byte; the whole has fewer than 80."""
    whole = q.reply()
    q.send(whole[:min(number, len(whole) - 1)])


@attack("truth", times=80)
def cut_before_truth(q, number):
    whole = q.reply()
    q.send(whole[:min(number, 11)])
    q.send(whole)


@then_truth
@attack("fail")
def nothing(q, number):
    q.send(b"")


@then_truth
@attack("fail")
def nothing_often(q, number):
    for _ in range(50):
        q.send(b"")


@attack("any")
def very_large(q, number):
    q.send(q.reply() + bytes(65000))


@attack("any")
def very_many(q, number):
    record = b"\xc0\x0c" + rr(A, socket.inet_aton(TRUTH))
    q.send(q.reply(records=[record] * 3900))


@attack("fail")
def claims_more(q, number):
    q.send(q.reply(counts=(1, 65535, 65535, 65535)))


@attack("any", times=300)
def bent(q, number):
    """Some bytes are others; the address is not behind them."""
    draw = random.Random(number)
    bent_message = bytearray(q.reply())
    for _ in range(draw.randrange(1, 6)):
        bent_message[draw.randrange(2, len(bent_message) - 4)] = draw.randrange(256)
    q.send(bytes(bent_message))


@attack("any", times=100)
def noise(q, number):
    draw = random.Random(number)
    q.send(q.id + b"\x81\x80" + draw.randbytes(draw.randrange(500)))


# Names that lead nowhere

def pointing(q, *bytes_of_name):
    q.send(q.reply(records=[b"".join(bytes_of_name) +
                            rr(A, socket.inet_aton(POISON))]))


@attack("fail")
def pointer_to_itself(q, number):
    at = 12 + len(q.section)
    pointing(q, struct.pack(">H", 0xc000 | at))


@attack("fail")
def pointers_in_a_circle(q, number):
    at = 12 + len(q.section)
    pointing(q, struct.pack(">HH", 0xc000 | at + 2, 0xc000 | at))


@attack("fail")
def pointer_forward(q, number):
    pointing(q, struct.pack(">H", 0xc000 | 12 + len(q.section) + 20))


@attack("fail")
def pointer_outside(q, number):
    pointing(q, b"\xff\xff")


@attack("fail")
def pointer_into_the_header(q, number):
    pointing(q, b"\xc0\x00")


@attack("fail")
def unknown_label(q, number):
    pointing(q, b"\x41a\0")


@attack("any")
def chain_of_pointers(q, number):
    """Records whose names each point at the one before."""
    records = [b"\1a\xc0\x0c" + rr(CNAME, b"\xc0\x0c")]
    at = 12 + len(q.section)
    for _ in range(2000):
        records.append(struct.pack(">H", 0xc000 | at & 0x3fff) +
                       rr(CNAME, b"\xc0\x0c"))
        at += len(records[-2])
    q.send(q.reply(records=records))


@attack("fail")
def too_long_by_pointers(q, number):
    """Each label and a pointer at the name before: over 255 bytes."""
    records, at = [], 12 + len(q.section)
    target = 0xc00c
    for _ in range(6):
        records.append(b"\x3f" + b"x" * 63 + struct.pack(">H", target) +
                       rr(A, socket.inet_aton(POISON)))
        target = 0xc000 | at
        at += len(records[-1])
    records.append(b"\xc0\x0c" + rr(CNAME, struct.pack(">H", target)))
    q.send(q.reply(records=records))


@attack("fail")
def short_address(q, number):
    q.send(q.reply(records=[b"\xc0\x0c" + rr(A, b"\6\6\6")]))


@attack("fail")
def long_address(q, number):
    q.send(q.reply(records=[b"\xc0\x0c" + rr(A, b"\6\6\6\6\6")]))


@attack("fail")
def length_beyond_the_end(q, number):
    record = struct.pack(">HHIH", A, 1, 60, 4000) + b"\6\6\6\6"
    q.send(q.reply(records=[b"\xc0\x0c" + record]))


# Answers that say too much

@attack("truth")
def of_another_name(q, number):
    q.send(q.reply(records=[
        name("victim.evil.test") + rr(A, socket.inet_aton(POISON)),
        b"\xc0\x0c" + rr(A, socket.inet_aton(TRUTH))]))


@attack("fail")
def only_of_another_name(q, number):
    q.send(q.reply(POISON, records=[
        name("victim.evil.test") + rr(A, socket.inet_aton(POISON))]))


@attack("truth")
def victim(q, number):
    q.send(q.reply())


@attack("fail")
def of_another_class(q, number):
    record = struct.pack(">HHIH", A, 3, 60, 4) + b"\6\6\6\6"
    q.send(q.reply(records=[b"\xc0\x0c" + record]))


@attack("fail")
def alias_of_itself(q, number):
    q.send(q.reply(records=[b"\xc0\x0c" + rr(CNAME, b"\xc0\x0c")]))


@attack("fail")
def aliases_in_a_circle(q, number):
    a, b = name("a.evil.test"), name("b.evil.test")
    q.send(q.reply(records=[b"\xc0\x0c" + rr(CNAME, a), a + rr(CNAME, b),
                            b + rr(CNAME, a), b + rr(A, b"\6\6\6\6")]))


@attack("fail")
def many_aliases(q, number):
    names = [b"\xc0\x0c"] + [name("n%d.evil.test" % i) for i in range(1000)]
    records = [a + rr(CNAME, b) for a, b in zip(names, names[1:])]
    q.send(q.reply(records=records + [names[-1] + rr(A, b"\6\6\6\6")]))


# Failures

@attack("DNSNoNameError")
def no_such_name(q, number):
    q.send(q.reply(flags=0x8180 | NXDOMAIN, records=[]))


@attack("DNSNoDataError")
def no_such_data(q, number):
    soa = ZONE + ZONE + struct.pack(">5I", 1, 2, 3, 4, 0)
    q.send(q.reply(records=[ZONE + rr(SOA, soa)], counts=(1, 0, 1, 0)))


@attack("DNSServerFailureError")
def failing(q, number):
    q.send(q.reply(flags=0x8180 | SERVFAIL, records=[]))


@attack("DNSRefusedError")
def refusing(q, number):
    q.send(q.reply(flags=0x8185, records=[]))


@attack("truth")
def formerr_first(q, number):
    if q.has_edns:
        q.send(q.reply(flags=0x8180 | FORMERR, records=[]))
    else:
        q.send(q.reply())


@attack("truth")
def header_of_formerr_first(q, number):
    if q.has_edns:
        q.send(q.id + struct.pack(">5H", 0x8181, 0, 0, 0, 0))
    else:
        q.send(q.reply())


@attack("truth")
def badvers_first(q, number):
    if q.has_edns:
        opt = b"\0" + struct.pack(">HHIH", OPT, 1232, 0x01000000, 0)
        q.send(q.reply(records=[opt], counts=(1, 0, 0, 1)))
    else:
        q.send(q.reply())


@attack("fail")
def always_formerr(q, number):
    q.send(q.reply(flags=0x8180 | FORMERR, records=[]))


@attack("fail")
def silence(q, number):
    pass


# TCP: the UDP side says that the answer is too long.

class Stop(Exception):
    """Closes the connection."""


def frame(message):
    return struct.pack(">H", len(message)) + message


@attack("truth", tcp=True)
def tcp_good(q, number):
    q.send(frame(q.reply()))


@attack("truth", tcp=True)
def tcp_byte_by_byte(q, number):
    for byte in frame(q.reply()):
        q.send(bytes([byte]))


@attack("truth", tcp=True)
def tcp_wrong_id_first(q, number):
    q.send(frame(q.reply(POISON, ident=bytes([q.id[0] ^ 1, q.id[1]]))) +
           frame(q.reply()))


@attack("fail", tcp=True)
def tcp_wrong_id(q, number):
    q.send(frame(q.reply(POISON, ident=bytes([q.id[0] ^ 1, q.id[1]]))))
    raise Stop


@attack("fail", tcp=True)
def tcp_wrong_name(q, number):
    q.send(frame(q.reply(POISON, section=name("o.evil.test") + q.section[-4:])))
    raise Stop


@attack("fail", tcp=True)
def tcp_half_a_length(q, number):
    q.send(b"\0")


@attack("fail", tcp=True)
def tcp_half_a_length_and_end(q, number):
    q.send(b"\0")
    raise Stop


@attack("fail", tcp=True)
def tcp_half_a_message(q, number):
    q.send(frame(q.reply(POISON))[:-3])


@attack("fail", tcp=True)
def tcp_half_a_message_and_end(q, number):
    q.send(frame(q.reply(POISON))[:-3])
    raise Stop


@attack("any", times=60, tcp=True)
def tcp_cut(q, number):
    q.send(frame(q.reply())[:min(number, 2 + len(q.reply()) - 1)])
    raise Stop


@attack("fail", tcp=True)
def tcp_end(q, number):
    raise Stop


@attack("fail", tcp=True)
def tcp_empty_messages(q, number):
    q.send(bytes(2) * 100)


@attack("any", tcp=True)
def tcp_very_large(q, number):
    message = q.reply()
    q.send(frame(message + bytes(65535 - len(message))))


@attack("fail", tcp=True)
def tcp_garbage(q, number):
    q.send(random.Random(1).randbytes(70000))
    raise Stop


@attack("fail", tcp=True)
def tcp_still_too_long(q, number):
    q.send(frame(q.reply(POISON, flags=0x8180 | TC)))


# The server

class Server:
    def __init__(self):
        self.asked = 0
        self.udp = udp_socket(HOSTILE)
        self.others = {HOSTILE: udp_socket(HOSTILE, 0),
                       STRANGER: udp_socket(STRANGER)}
        self.listener = socket.create_server((HOSTILE, 53), backlog=500)
        for serve in self.serve_udp, self.serve_tcp:
            threading.Thread(target=serve, daemon=True).start()

    def serve_udp(self):
        while True:
            message, peer = self.udp.recvfrom(65535)
            self.asked += 1
            q = Question(message, lambda m, peer=peer: self.udp.sendto(m, peer),
                         lambda by, m, peer=peer: self.others[by].sendto(m, peer))
            self.play(q, by_tcp=False)

    def serve_tcp(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve_connection, args=(connection,),
                             daemon=True).start()

    def serve_connection(self, connection):
        with connection:
            try:
                while True:
                    length = connection.recv(2, socket.MSG_WAITALL)
                    if len(length) < 2:
                        return
                    message = connection.recv(struct.unpack(">H", length)[0],
                                              socket.MSG_WAITALL)
                    self.play(Question(message, connection.sendall, None), True)
            except (OSError, Stop):
                pass

    def play(self, q, by_tcp):
        key, number = q.first[0], int(q.first[1])
        delay = float(q.first[2]) / 1000 if len(q.first) > 2 else 0
        function, _, _, tcp = ATTACKS[key]
        if tcp and not by_tcp:
            q.send(q.reply(POISON, flags=0x8180 | TC))
        elif delay:
            threading.Timer(delay, self.quietly, (function, q, number)).start()
        else:
            function(q, number)

    @staticmethod
    def quietly(function, q, number):
        try:
            function(q, number)
        except (OSError, Stop):
            pass


def udp_socket(address, port=53):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind((address, port))
    return s


# What the library makes of it

class Judge:
    def __init__(self, etc):
        self.etc = etc
        self.passed, self.failed = 0, 0

    def claim(self, text, holds, *details):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print("FAILED: " + text, *details)

    def ask(self, lines, at_once=200, timeout=30, descriptors=None):
        """Gives (seconds, how, what) for each line."""
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        said = subprocess.run(
            [ASK, str(at_once), str(timeout)], capture_output=True, text=True,
            input="".join("\t".join(line) + "\n" for line in lines), timeout=200,
            check=False, preexec_fn=few if descriptors else None)
        answers = {}
        for line in said.stdout.splitlines():
            number, seconds, how, *what = line.split("\t")
            answers[int(number)] = (float(seconds), how, what)
        self.claim("ask ends well", said.returncode == 0 and not said.stderr,
                   said.returncode, said.stderr[-3000:])
        self.claim("every lookup ends", len(answers) == len(lines),
                   sorted(set(range(len(lines))) - set(answers))[:20])
        return [answers.get(i, (0, "none", [])) for i in range(len(lines))]

    def attacks(self, picked):
        self.etc.write("resolv.conf", world.resolv_conf(
            [HOSTILE], "timeout:1 attempts:1 edns0"))
        played = [(key, i, expect) for key, (_, expect, times, _) in ATTACKS.items()
                  for i in range(times) if not picked or key in picked]
        lines = [("record", "%s-%d.evil.test." % (key, i), "A")
                 for key, i, _ in played]
        for (key, i, expect), (seconds, how, what) in zip(
                played, self.ask(lines)):
            text = " ".join([how, *what])
            self.claim("%s %d: expected %s" % (key, i, expect), POISON not in text and
                       self.is_expected(expect, how, text), text)
            self.claim("%s %d ends in time" % (key, i), seconds < LIMIT + SLACK,
                       seconds)

    @staticmethod
    def is_expected(expect, how, text):
        return (expect == "any" or expect == how or
                (expect == "fail" and how.startswith("DNS")) or
                (expect == "truth" and how == "ok" and TRUTH in text))

    def cancels(self):
        """The answers come when nobody wants them any more."""
        lines = [("record", "%s-%d-%d.evil.test." % (key, i, 20 + i), "A",
                  "%.3f" % (0.01 * (i % 5)))
                 for key in ("victim", "tcpgood", "nothingoften", "formerrfirst",
                             "tcphalfalength", "verylarge") for i in range(40)]
        for line, (seconds, how, what) in zip(lines, self.ask(lines)):
            self.claim("a cancel of %s" % line[1], how in ("CancelledError", "ok"),
                       how, what)
            self.claim("a cancel ends at once", seconds < SLACK, seconds)

    def deadlines(self):
        """All servers are dead: in the time that resolv.conf says."""
        sockets = [udp_socket(address) for address in DEAD]
        for servers, timeout, attempts in ((1, 1, 1), (1, 1, 2), (2, 1, 1),
                                           (3, 1, 2), (2, 2, 1)):
            self.etc.write("resolv.conf", world.resolv_conf(
                DEAD[:servers], "timeout:%d attempts:%d" % (timeout, attempts)))
            limit = servers * timeout * attempts
            for seconds, how, what in self.ask([("record", "dead.test.", "A"),
                                                ("address", "dead.test.", "0")]):
                self.claim("dead servers", how == "DNSTimeoutError", how, what)
                self.claim("dead servers: %d s" % limit,
                           seconds < limit + SLACK, seconds)
        for seconds, how, what in self.ask([("record", "dead.test.", "A"),
                                            ("address", "dead.test.", "4")],
                                           timeout=0.3):
            self.claim("the total deadline", how == "DNSTimeoutError" and
                       seconds < 0.3 + SLACK, seconds, how, what)
        for s in sockets:
            s.close()

    def few_descriptors(self):
        """More names at once than there are descriptors."""
        self.etc.write("resolv.conf", world.resolv_conf(
            [HOSTILE], "timeout:5 attempts:3"))
        for key in "victim", "tcpgood":
            lines = [("record", "%s-%d-5.evil.test." % (key, i), "A")
                     for i in range(300)]
            for line, (seconds, how, what) in zip(
                    lines, self.ask(lines, at_once=300, descriptors=24)):
                self.claim("few descriptors: %s" % line[1], how == "ok", how, what)

    def files(self):
        """Files that change while a program runs, and files that are none."""
        path = os.path.join(self.etc.path, "resolv.conf")
        good = world.resolv_conf([HOSTILE])

        def directory():
            os.remove(path)
            os.mkdir(path)

        def dangling():
            os.rmdir(path)
            os.symlink("nowhere", path)

        def write(text):
            return lambda: self.etc.write("resolv.conf", text)
        # Without a server it is 127.0.0.1, where nobody is.
        steps = [
            ("good", write(good), "ok"),
            ("other servers", write(world.resolv_conf([DEAD[0]])), "fail"),
            ("good again", write(good), "ok"),
            ("a mebibyte of lines", write("options nothing\n" * 65536 + good), "any"),
            ("a mebibyte in a line", write("#" + "x" * (1 << 20) + "\n" + good), "any"),
            ("bytes", write(bytes(range(256)) * 10 + b"\n" + good.encode()), "ok"),
            ("empty", write(""), "fail"),
            ("good once more", write(good), "ok"),
            ("gone", lambda: os.remove(path), "fail"),
            ("back", write(good), "ok"),
            ("a directory", directory, "any"),
            ("a link to nowhere", dangling, "any"),
            ("good at the end", lambda: (os.remove(path), write(good)()), "ok"),
        ]
        with subprocess.Popen([ASK, "1", "5"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as p:
            for i, (what, change, expect) in enumerate(steps):
                change()
                time.sleep(1.1)  # it looks once a second
                p.stdin.write("record\tvictim-%d.evil.test.\tA\n" % i)
                p.stdin.flush()
                how = p.stdout.readline().split("\t")
                self.claim("resolv.conf: " + what, len(how) > 2 and
                           self.is_expected(expect, how[2], ""), how)
            p.stdin.close()
            self.claim("it ends well", p.wait(30) == 0)


def main():
    where = world.enter()
    server = Server()
    judge = Judge(world.Etc(where))
    judge.attacks(sys.argv[1:])
    if not sys.argv[1:]:
        judge.cancels()
        judge.deadlines()
        judge.few_descriptors()
        judge.files()
    judge.claim("the server was asked", server.asked > 0)
    print("%d passed, %d failed" % (judge.passed, judge.failed))
    return judge.failed > 0


if __name__ == "__main__":
    sys.exit(main())
