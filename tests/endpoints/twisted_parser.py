"""Reads texts of endpoints with Twisted's parsers, for test_endpoints.py.

Takes a list of texts as JSON, and gives a list of pairs: what each means as a
server and as a client, or null if Twisted refuses it.
"""

import json
import sys

from twisted.internet import endpoints, reactor


def server(e):
    if isinstance(e, endpoints.UNIXServerEndpoint):
        return {"kind": "unix", "path": e._address, "mode": e._mode,
                "backlog": e._backlog}
    kind = "tcp6" if isinstance(e, endpoints.TCP6ServerEndpoint) else "tcp"
    return {"kind": kind, "port": e._port, "interface": e._interface,
            "backlog": e._backlog}


def client(e):
    if isinstance(e, endpoints.UNIXClientEndpoint):
        return {"kind": "unix", "path": e._path, "timeout": e._timeout}
    bind = e._bindAddress
    return {"kind": "tcp", "host": e._host, "port": e._port,
            "timeout": e._timeout, "bindAddress": bind and bind[0]}


def read(parse, meaning, text):
    try:
        return meaning(parse(reactor, text))
    except Exception:  # of any kind: that is how it refuses
        return None


json.dump([[read(endpoints.serverFromString, server, text),
            read(endpoints.clientFromString, client, text)]
           for text in json.load(sys.stdin)], sys.stdout)
