"""twisted_peer.py serve PATH
twisted_peer.py ask PATH TEXT [FILE]

What tests/unix/peer.c does, with Twisted: see there.
"""

import os
import sys

from twisted.internet import interfaces, protocol, reactor
from zope.interface import implementer


@implementer(interfaces.IFileDescriptorReceiver)
class Peer(protocol.Protocol):
    def __init__(self):
        self.descriptors = []

    def fileDescriptorReceived(self, descriptor):
        self.descriptors.append(descriptor)


# Another protocol is lost at the end of its peer, with all that is unsent.
@implementer(interfaces.IHalfCloseableProtocol)
class Echo(Peer):
    def readConnectionLost(self):
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass

    def dataReceived(self, data):
        for descriptor in self.descriptors:
            self.transport.sendFileDescriptor(descriptor)
        self.transport.write(data)


class Asker(Peer):
    def connectionMade(self):
        if len(sys.argv) > 4:
            self.transport.sendFileDescriptor(os.open(sys.argv[4], os.O_RDONLY))
        self.transport.write(sys.argv[3].encode())
        self.transport.loseWriteConnection()

    def dataReceived(self, data):
        print(data.decode(), end="")
        for descriptor in self.descriptors:
            print("[%s]" % os.pread(descriptor, 100, 0).decode(), end="")
            os.close(descriptor)
        self.descriptors = []

    def connectionLost(self, reason):
        reactor.stop()


# Twisted writes abstract names with a NUL.
path = sys.argv[2].replace("@", "\0")
factory = protocol.Factory.forProtocol(Echo) if sys.argv[1] == "serve" else \
    protocol.ClientFactory.forProtocol(Asker)
if sys.argv[1] == "serve":
    reactor.listenUNIX(path, factory)
    reactor.callWhenRunning(print, "listens", flush=True)
else:
    reactor.connectUNIX(path, factory)
reactor.run()
