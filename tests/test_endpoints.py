#!/usr/bin/env python3
"""Texts of endpoints as Twisted's parsers read them: of the kinds that both
have, both accept and refuse the same, and mean the same; but for what
DIFFERENCES says.  Where Twisted is not installed, that is skipped.

The last line is "N passed, N failed".
"""

import ctypes
import json
import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
import unittests  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("O", "build")
INSTRUMENTED = bool(os.environ.get("SANITIZE")) or "coverage" in BUILD
HERE = b"test_endpoints.py"
LISTENS, CONNECTS = 1, 2


def has_twisted(python):
    return subprocess.run([python, "-c", "import twisted"], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0


# It may be installed for the system's Python alone.
TWISTED = next((p for p in (sys.executable, "/usr/bin/python3")
                if os.path.exists(p) and has_twisted(p)), None)

# Of each kind that both have, what is read and what is refused.
STRINGS = r"""
tcp:80
tcp:0
tcp:65535
tcp:0080
tcp:port=80
tcp:80:interface=127.0.0.1
tcp:80:interface=0.0.0.0
tcp:80:interface=\:\:1
tcp:80:interface=\:\:
tcp:80:interface=2001\:db8\:\:1
tcp:80:interface=\1\2\7.0.0.1
tcp:80:backlog=1
tcp:80:backlog=50
tcp:80:backlog=007
tcp:80:backlog=5:interface=127.0.0.1
tcp:80:interface=127.0.0.1:backlog=5
tcp:interface=127.0.0.1:port=80
tcp:backlog=5:interface=127.0.0.1:port=80
tcp:port=80:backlog=5
tcp:8\0
tcp:p\ort=80
tcp:por\t=8\0
\tcp:80
\t\c\p:80
tcp6:80
tcp6:0
tcp6:port=80
tcp6:80:interface=\:\:1
tcp6:80:interface=\:\::backlog=7
tcp6:80:backlog=5
tcp6:backlog=5:port=80
tcp6:80:interface=fe80\:\:1%3
unix:/run/x
unix:relative
unix:./@x
unix:path=/run/x
unix:/run/x:mode=660
unix:/run/x:mode=0
unix:/run/x:mode=777
unix:/run/x:mode=0600
unix:/run/x:backlog=5
unix:/run/x:mode=600:backlog=5
unix:/a\:b
unix:/a\=b
unix:/a\\b
unix:/a\b
unix:/a b
unix:/a,b;c
unix:/a%3Ab
unix:/[x]
unix:\[x]
unix:/a[b:mode=600
unix:path=/a=b
unix:path=/a\:b
unix:path=a==b
unix:mode=600:path=/x
tcp:example.org:80
tcp:localhost:80
tcp:127.0.0.1:80
tcp:host=example.org:port=80
tcp:port=80:host=example.org
tcp:_odd-name.example:80
tcp:EXAMPLE.org:80
tcp:example.org:80:timeout=5
tcp:example.org:80:timeout=030
tcp:host=h:port=80:timeout=5
tcp:timeout=5:host=h:port=80
tcp:example.org:80:bindAddress=127.0.0.1
tcp:example.org:80:timeout=5:bindAddress=127.0.0.1
tcp:example.org:80:bindAddress=127.0.0.1:timeout=5
tcp:host=h:bindAddress=127.0.0.1:port=8
tcp:80:host=h
tcp:\:\:1:80
tcp:host=\:\:1:port=80
tcp:2001\:db8\:\:1:80
tcp:fe80\:\:1%3:80
tcp:ex\ample.org:80
tcp:ex\=ample:80
tcp:host=a=b:port=80
unix:/run/x:timeout=5
unix:timeout=5:path=/run/x
unix:path=/run/x:timeout=9
unix:@abstract
unix:@
tcp
tcp6
unix
tcp:
unix:
tcp6:
tcp:http
tcp:-1
tcp:+80
tcp: 80
tcp:80 
tcp:8_0
tcp:0x50
tcp:8e1
tcp:80.0
tcp:65536
tcp:99999999999
tcp:h:http
tcp:h:-1
tcp:h:65536
tcp:h: 80
tcp:h:
tcp::80
tcp:h:80:
tcp:80:
tcp:h
tcp:host=h
tcp:port=
tcp:host=:port=80
tcp:80:backlog=
tcp:80:interface=
tcp:80:backlog=0
tcp:80:backlog=-5
tcp:80:backlog=many
tcp:80:backlog=1.5
tcp:80:backlog=2147483648
tcp:80:backlog= 5
tcp:h:80:timeout=0
tcp:h:80:timeout=-1
tcp:h:80:timeout=
tcp:h:80:timeout=soon
tcp:h:80:timeout=5s
tcp:h:80:timeout=0.5
tcp:h:80:timeout=2.25
tcp:h:80:timeout=1_0
tcp:h:80:timeout= 5
tcp:h:80:bindAddress=
tcp:h:80:bindAddress=localhost
tcp:h:80:bindAddress=1.2.3
tcp:h:80:bindAddress=[\:\:1]
tcp:80:interface=lo
tcp:80:interface=localhost
tcp:80:interface=1.2.3
tcp:80:interface=[::1]
tcp:[::1]:80
tcp:h:80:bindAddress=[::1]
tcp6:80:interface=[::1]
tcp:80:prot=tcp
tcp:80:Port=80
tcp:80:BACKLOG=5
tcp:80:=1
tcp:80:=
tcp:80: backlog=5
tcp:80:backlog =5
tcp:80:mode=600
tcp:80:lockfile=0
tcp:h:80:lockfile=0
tcp:h:80:attemptDelay=1
tcp:h:80:factory=1
tcp:80:factory=1
unix:/x:port=80
unix:/x:lockfile=0
unix:/x:lockfile=1:mode=600
unix:/x:timeout=5:lockfile=1
unix:/x:unlink=1
unix:/x:mode=668
unix:/x:mode=1777
unix:/x:mode=rw
unix:/x:mode=
unix:/x:mode=0o660
unix:/x:mode= 600
unix:/x:mode=-1
unix:/x:backlog=0
unix:/x:timeout=0
unix:/x:timeout=2.5
unix:/a=b
unix:path=
unix:/x:/y
unix:/x:600
unix:/x:600:5
tcp:80:127.0.0.1
tcp:80:127.0.0.1:5
tcp:80:50
tcp:h:80:5
tcp:h:80:5:127.0.0.1
tcp6:80:5
tcp:80:port=80
tcp:port=80:port=81
tcp:h:port=80
tcp:h:80:host=i
tcp:host=h:80
tcp:80:backlog=5:backlog=6
tcp:h:80:timeout=5:timeout=6
unix:/x:path=/y
unix:path=/x:path=/y
tcp:backlog=5:80
tcp:timeout=5:h:80
unix:mode=600:/x
tcp6:backlog=5:80
TCP:80
Tcp:h:80
UNIX:/x
 tcp:80
tcp :80
tcp=80
port=80
port=80:tcp
=tcp
=
:
::
:80

80
tpc:80
udp:53
tcp4:80
http:80
tcp:80\
unix:/x\
\
tcp:port=\
tcp:a b:80
tcp:h\ :80
tcp:h\::80
tcp:[h]:80
tcp:[]:80
tcp:h]:80
tcp:\[h:80
tcp:h:80:interface=127.0.0.1
tcp:h:80:backlog=5
tcp:80:timeout=5
tcp:80:bindAddress=127.0.0.1
unix:/x:mode=600:timeout=5
tcp:h:80:timeout=5:backlog=5
tcp6:h:80
tcp6:http
tcp6:80:backlog=x
tcp6:80:prot=1
tcp6:80:interface=127.0.0.1
""".split("\n")[1:-1] + [
    "unix:/" + "x" * 106, "unix:/" + "x" * 107,
    "tcp:" + "h" * 255 + ":80", "tcp:" + "h" * 256 + ":80"]

# Why the two differ, and where.  plait_endpoint_parse(3) has the same list.
DIFFERENCES = {
    "Twisted's numbers are Python's: with signs, spaces, underscores, of any size": [
        r"tcp:-1", r"tcp:+80", r"tcp: 80", r"tcp:80 ", r"tcp:8_0",
        r"tcp:65536", r"tcp:99999999999", r"tcp:h:-1", r"tcp:h:65536",
        r"tcp:h: 80", r"tcp:80:backlog=0", r"tcp:80:backlog=-5",
        r"tcp:80:backlog=2147483648", r"tcp:80:backlog= 5",
        r"tcp:h:80:timeout=0", r"tcp:h:80:timeout=-1", r"tcp:h:80:timeout=1_0",
        r"tcp:h:80:timeout= 5", r"unix:/x:mode=1777", r"unix:/x:mode=0o660",
        r"unix:/x:mode= 600", r"unix:/x:mode=-1", r"unix:/x:backlog=0",
        r"unix:/x:timeout=0",
    ],
    "Twisted has no parts of a second": [
        r"tcp:h:80:timeout=0.5", r"tcp:h:80:timeout=2.25",
        r"unix:/x:timeout=2.5",
    ],
    "plait refuses an empty value": [
        r"unix:", r"tcp::80", r"tcp:80:", r"tcp:host=:port=80",
        r"tcp:80:interface=", r"tcp:h:80:bindAddress=", r"unix:path=",
    ],
    "plait looks whether hosts, addresses and paths can be some": [
        r"unix:@", r"tcp:h:80:bindAddress=localhost",
        r"tcp:h:80:bindAddress=1.2.3", r"tcp:80:interface=lo",
        r"tcp:80:interface=localhost", r"tcp:80:interface=1.2.3",
        r"tcp:a b:80", r"tcp:h\ :80", r"tcp:h\::80", r"tcp:[h]:80",
        r"tcp:[]:80", r"tcp:h]:80", r"tcp:\[h:80",
        "unix:/" + "x" * 107, "tcp:" + "h" * 256 + ":80",
    ],
    "plait takes IPv6 addresses in brackets": [
        r"tcp:h:80:bindAddress=[\:\:1]", r"tcp:80:interface=[::1]",
        r"tcp:[::1]:80", r"tcp:h:80:bindAddress=[::1]",
        r"tcp6:80:interface=[::1]",
    ],
    "a UNIX server of Twisted's calls its path address, and has lockfile": [
        r"unix:path=/run/x", r"unix:path=/a=b", r"unix:path=/a\:b",
        r"unix:path=a==b", r"unix:mode=600:path=/x", r"unix:/x:lockfile=0",
        r"unix:/x:lockfile=1:mode=600", r"unix:/x:timeout=5:lockfile=1",
        r"unix:/x:unlink=1",
    ],
    "in plait, only host, port and path need no key, and the port comes last": [
        r"unix:/x:600", r"unix:/x:600:5", r"tcp:80:127.0.0.1",
        r"tcp:80:127.0.0.1:5", r"tcp:80:50", r"tcp6:80:5", r"tcp:80:port=80",
        r"tcp:h:port=80", r"tcp:host=h:80",
    ],
    "plait refuses a key that is there twice": [
        r"tcp:port=80:port=81", r"tcp:h:80:host=i",
        r"tcp:80:backlog=5:backlog=6", r"tcp:h:80:timeout=5:timeout=6",
        r"unix:/x:path=/y", r"unix:path=/x:path=/y",
    ],
    "plait refuses a value without a key behind one with a key": [
        r"tcp:backlog=5:80", r"tcp:timeout=5:h:80", r"unix:mode=600:/x",
        r"tcp6:backlog=5:80", r"port=80:tcp",
    ],
    "a client of Twisted's takes its kind in capitals": [
        r"Tcp:h:80", r"UNIX:/x",
    ],
}

# ---- plait ------------------------------------------------------------------

Handle = ctypes.c_void_p
Address = ctypes.POINTER(ctypes.c_void_p)
Text = ctypes.c_char_p
PROTOTYPES = {
    "plait_endpoint_parse": (ctypes.c_int, Text, Address, Text,
                             ctypes.c_size_t),
    "plait_endpoint_can_listen": (ctypes.c_bool, Handle, Text,
                                  ctypes.c_size_t),
    "plait_endpoint_can_connect": (ctypes.c_bool, Handle, Text,
                                   ctypes.c_size_t),
    "plait_endpoint_str": (ctypes.c_int, Handle, Text, ctypes.c_size_t),
    "plait_endpoint_equal": (ctypes.c_bool, Handle, Handle),
    "plait_endpoint_unref": (None, Address),
    "plait_endpoint_has": (ctypes.c_bool, Handle, Text, Text),
    "plait_endpoint_text": (Text, Handle, Text, Text),
    "plait_endpoint_number": (ctypes.c_uint64, Handle, Text, Text),
    "plait_endpoint_seconds": (ctypes.c_double, Handle, Text, Text),
}
# The keys of a kind for a use, and what Twisted says if there is none.
KEYS = {
    ("tcp", LISTENS): {"port": None, "interface": "", "backlog": 50},
    ("tcp6", LISTENS): {"port": None, "interface": "::", "backlog": 50},
    ("unix", LISTENS): {"path": None, "mode": 0o666, "backlog": 50},
    ("tcp", CONNECTS): {"host": None, "port": None, "timeout": 30,
                        "bindAddress": None},
    ("unix", CONNECTS): {"path": None, "timeout": 30},
}
TEXTS = ("host", "path", "interface", "bindAddress")


class Plait:
    def __init__(self):
        self.lib = ctypes.CDLL(os.path.join(BUILD, "libplait.so"))
        for name, (result, *parameters) in PROTOTYPES.items():
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, parameters

    def parse(self, text):
        """The endpoint; None if it is refused."""
        e = ctypes.c_void_p()
        err = self.lib.plait_endpoint_parse(text.encode(), ctypes.byref(e),
                                            None, 0)
        return e if err == 0 else None

    def unref(self, e):
        self.lib.plait_endpoint_unref(ctypes.byref(e))

    def str(self, e):
        buf = ctypes.create_string_buffer(2000)
        self.lib.plait_endpoint_str(e, buf, len(buf))
        return buf.value.decode()

    def value(self, e, key, default):
        name = key.encode()
        if not self.lib.plait_endpoint_has(e, name, HERE):
            return default
        if key in TEXTS:
            return self.lib.plait_endpoint_text(e, name, HERE).decode()
        if key == "timeout":
            return self.lib.plait_endpoint_seconds(e, name, HERE)
        return self.lib.plait_endpoint_number(e, name, HERE)

    def meaning(self, e, use):
        can = (self.lib.plait_endpoint_can_listen if use == LISTENS
               else self.lib.plait_endpoint_can_connect)
        if e is None or not can(e, None, 0):
            return None
        kind = self.str(e).split(":")[0]
        keys = KEYS.get((kind, use))
        if keys is None:
            return None
        return {"kind": kind, **{key: self.value(e, key, default)
                                 for key, default in keys.items()}}

    def meanings(self, text):
        e = self.parse(text)
        both = [self.meaning(e, use) for use in (LISTENS, CONNECTS)]
        if e is not None:
            self.unref(e)
        return both


def twisted_meanings():
    done = subprocess.run([TWISTED, "tests/endpoints/twisted_parser.py"],
                          cwd=TOP, check=True, text=True, timeout=60,
                          input=json.dumps(STRINGS), stdout=subprocess.PIPE)
    return json.loads(done.stdout)


@unittest.skipIf(INSTRUMENTED, "Python has no instruments")
class Endpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plait = Plait()

    @unittest.skipIf(TWISTED is None, "no python3-twisted")
    def test_twisted_reads_them_in_the_same_way(self):
        listed = {text: why for why, texts in DIFFERENCES.items()
                  for text in texts}
        self.assertEqual(len(listed), sum(map(len, DIFFERENCES.values())))
        self.assertLessEqual(set(listed), set(STRINGS))
        for text, theirs in zip(STRINGS, twisted_meanings()):
            ours = self.plait.meanings(text)
            with self.subTest(text=text, plait=ours, twisted=theirs):
                if text in listed:
                    self.assertNotEqual(ours, theirs)
                else:
                    self.assertEqual(ours, theirs)

    def test_what_is_read_is_written_and_read_as_the_same(self):
        for text in STRINGS:
            e = self.plait.parse(text)
            if e is None:
                continue
            written = self.plait.str(e)
            again = self.plait.parse(written)
            with self.subTest(text=text, written=written):
                self.assertTrue(self.plait.lib.plait_endpoint_equal(e, again))
                self.assertEqual(self.plait.str(again), written)
                self.assertEqual(self.plait.meanings(text),
                                 self.plait.meanings(written))
            self.plait.unref(e)
            self.plait.unref(again)

    def test_there_are_strings_enough(self):
        self.assertGreater(len(STRINGS), 230)
        self.assertEqual(len(set(STRINGS)), len(STRINGS))


if __name__ == "__main__":
    unittests.main()
