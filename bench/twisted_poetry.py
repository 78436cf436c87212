"""The servers of the tutorial with Twisted: a cached poem, and the proxy."""

import os
import sys

from twisted.internet import defer, protocol, reactor

POEM = b"".join(b"\n" if i % 50 == 49 else bytes([ord("a") + i % 26])
                for i in range(3000))


class PoetProtocol(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(self.factory.poem)
        self.transport.loseConnection()


class PoetryClientProtocol(protocol.Protocol):
    def connectionMade(self):
        self.poem = b""

    def dataReceived(self, data):
        self.poem += data

    def connectionLost(self, reason):
        self.factory.poem_finished(self.poem)


class PoetryClientFactory(protocol.ClientFactory):
    protocol = PoetryClientProtocol
    noisy = False

    def __init__(self, deferred):
        self.deferred = deferred

    def poem_finished(self, poem):
        if self.deferred is not None:
            d, self.deferred = self.deferred, None
            d.callback(poem)

    def clientConnectionFailed(self, connector, reason):
        if self.deferred is not None:
            d, self.deferred = self.deferred, None
            d.errback(reason)


class ProxyProtocol(protocol.Protocol):
    def connectionMade(self):
        self.deferred = self.factory.get_poem()
        self.deferred.addCallback(self.transport.write)
        self.deferred.addBoth(lambda _: self.transport.loseConnection())

    def connectionLost(self, reason):
        self.deferred.cancel()


class PoetFactory(protocol.ServerFactory):
    protocol = PoetProtocol
    poem = POEM


class ProxyFactory(protocol.ServerFactory):
    protocol = ProxyProtocol

    def __init__(self, port):
        self.port = port

    def get_poem(self):
        d = defer.Deferred(lambda _: connector.disconnect())
        connector = reactor.connectTCP("127.0.0.1", self.port,
                                       PoetryClientFactory(d))
        return d


def main(work, number):
    factory = PoetFactory() if work == "poem" else ProxyFactory(int(number))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    print(port.getHost().port, os.getpid(), flush=True)
    reactor.run()


main(*sys.argv[1:])
