#!/usr/bin/env python3
"""
Records what Twisted's ClientService does in random programs.

    python3 tests/vectors/make_client_service.py >tests/vectors/client_service.txt

Needs Twisted (22.4 made what is in the tree); the tests need only the file.
tests/test_client_service_vectors.c replays it.

A program is a step a line, and an empty line ends it:

    STEP > STATE RESULT...

STEP is start, stop, wait N (N failures end it, 0: none), accept, refuse, lose
(the peer does), stick (the peer reads nothing, so closing takes time), unstick,
or advance SECONDS.  STATE is what there is then: - nothing, c an attempt, o a
connection.  A RESULT is of a wait, or of a stop: w0=1, the first wait has got
the first connection; w0=refused, w0=cancelled; s0, the first stop is over.

What is not recorded, because plait does something else on purpose: the cancel
of a wait, which Twisted does not know; a stop before the first start, which
leaves waits for ever; prepareConnection, which leaves a connection that it
refuses.  Twisted's delays begin anew with each connection, plait's with one
that has lived: here no connection is lost in its first second.  plait's begin
anew with each start, Twisted's only with one that comes while it stops: so the
count is set to 0 here.
"""

import random

import twisted
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

PROGRAMS, STEPS = 150, 30


class Numbered(Protocol):
    number = 0


class Transport:
    def __init__(self):
        self.stuck = self.closing = False

    def loseConnection(self):
        self.closing = True


class World:
    """The endpoint, and the network behind it."""

    def __init__(self, chance):
        self.chance = chance
        self.clock = Clock()
        self.attempt = self.protocol = self.transport = None
        self.made = 0
        self.since = 0.0
        self.results = []
        self.started = False
        self.waits = self.stops = 0
        factory = Factory.forProtocol(Numbered)
        factory.noisy = False
        self.service = ClientService(
            self, factory, clock=self.clock,
            retryPolicy=backoffPolicy(1, 60, 2, lambda: 0))

    def connect(self, factory):
        assert self.attempt is None and self.protocol is None
        self.attempt = (Deferred(self.cancelled), factory)
        return self.attempt[0]

    def cancelled(self, d):
        self.attempt = None

    def lost(self):
        protocol, self.protocol, self.transport = self.protocol, None, None
        protocol.connectionLost(Failure(ConnectionDone()))

    def settle(self):
        if self.transport and self.transport.closing and not self.transport.stuck:
            self.lost()

    # ---- steps; None: it is not possible now

    def start(self):
        self.started = True
        if not self.service.running:
            self.service._machine._failedAttempts = 0
            self.service.startService()
        return "start"

    def stop(self):
        if not self.started:
            return None
        name = f"s{self.stops}"
        self.stops += 1
        self.service.stopService().addCallback(
            lambda _: self.results.append(name))
        return "stop"

    def wait(self):
        n = self.chance.randrange(4)
        name = f"w{self.waits}"
        self.waits += 1
        d = self.service.whenConnected(n or None)
        d.addCallbacks(
            lambda p: self.results.append(f"{name}={p.number}"),
            lambda f: self.results.append(
                f"{name}=" + ("cancelled" if f.check(CancelledError)
                              else "refused")))
        return f"wait {n}"

    def accept(self):
        if not self.attempt:
            return None
        (d, factory), self.attempt = self.attempt, None
        self.made += 1
        self.since = self.clock.seconds()
        self.protocol = factory.buildProtocol(None)
        self.protocol._protocol.number = self.made
        self.transport = self.protocol._protocol.transport = Transport()
        d.callback(self.protocol)
        return "accept"

    def refuse(self):
        if not self.attempt:
            return None
        (d, _), self.attempt = self.attempt, None
        d.errback(Failure(ConnectionRefusedError()))
        return "refuse"

    def lose(self):
        if not self.protocol or self.clock.seconds() - self.since < 1:
            return None
        self.lost()
        return "lose"

    def stick(self):
        if not self.transport or self.transport.closing:
            return None
        self.transport.stuck = True
        return "stick"

    def unstick(self):
        if not self.transport or not self.transport.stuck:
            return None
        self.transport.stuck = False
        return "unstick"

    def advance(self):
        seconds = self.chance.choice((0.1, 0.7, 1.3, 2.1, 4.3, 9.1)) + 0.01
        if self.transport and self.transport.closing and self.transport.stuck:
            seconds = 0.11  # no connection is given up for its slowness
        self.clock.advance(seconds)
        return f"advance {seconds:g}"

    def step(self):
        said = None
        while not said:
            said = getattr(self, self.chance.choice((
                "start", "start", "stop", "wait", "wait", "accept", "accept",
                "refuse", "lose", "stick", "unstick", "advance", "advance",
                "advance")))()
        self.settle()
        state = "c" if self.attempt else "o" if self.protocol else "-"
        print(" ".join([said, ">", state] + self.results))
        self.results = []


print(f"# Made by make_client_service.py with Twisted {twisted.__version__}.")
for seed in range(PROGRAMS):
    print()
    world = World(random.Random(seed))
    for _ in range(STEPS):
        world.step()
