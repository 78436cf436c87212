"""For the test programs that put plait's sockets and files beside others: how
they build the program of theirs that is written on plait, and what they skip
where something is not installed."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("O", "build")
LIBRARY = os.environ.get("LIB", f"{BUILD}/libplait.a")
FLAGS = shlex.split(os.environ.get("CFLAGS", "-g -O2"))
CC = shlex.split(os.environ.get("CC", "cc"))
BACKENDS = ("epoll", "select")


def has_twisted(python):
    return subprocess.run([python, "-c", "import twisted"], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0


# It may be installed for the system's Python alone.
TWISTED = next((p for p in (sys.executable, "/usr/bin/python3")
                if os.path.exists(p) and has_twisted(p)), None)
needs_twisted = unittest.skipIf(TWISTED is None, "no Twisted")


def needs(name):
    return unittest.skipIf(shutil.which(name) is None, f"no {name}")


def build(cls, source):
    """The path of a program that lives as long as the tests of the class."""
    directory = tempfile.TemporaryDirectory()
    cls.addClassCleanup(directory.cleanup)
    binary = os.path.join(directory.name, "program")
    subprocess.run([*CC, "-std=gnu11", *FLAGS, "-Iinclude", "-o", binary, source,
                    LIBRARY, "-pthread"], check=True, cwd=TOP, timeout=60)
    return binary
