#!/usr/bin/env python3
"""plait from C++: the programs tests/*.cc, with each C++ compiler that there
is, on each backend.

With sanitizers and with coverage only $CXX fits the library.  The last line is
"N passed, N failed".
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import unittests  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("O", "build")
LIBRARY = os.environ.get("LIB", f"{BUILD}/libplait.a")
FLAGS = shlex.split(os.environ.get("CFLAGS", "-g -O2"))
CXX = os.environ.get("CXX", "c++")
BACKENDS = ("epoll", "select")
# Tables leave members out, and callbacks have parameters that they don't need.
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wold-style-cast", "-Werror",
            "-Wno-missing-field-initializers", "-Wno-unused-parameter"]


def compilers():
    """Each once, as a list of words: c++ is mostly another name of one."""
    names = [CXX]
    if not os.environ.get("SANITIZE") and "--coverage" not in FLAGS:
        names += ["g++", "clang++"]
    found = {}
    for name in names:
        path = shutil.which(shlex.split(name)[0])
        if path:
            found.setdefault(os.path.realpath(path), shlex.split(name))
    return list(found.values())


def run(args, **more):
    return subprocess.run(args, text=True, check=False, timeout=60, cwd=TOP,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **more)


def run_on(backend, *args):
    return run(args, env={**os.environ, "PLAIT_REACTOR": backend})


def build(compiler, source, binary):
    return run([*compiler, "-std=c++20", *WARNINGS, *FLAGS, "-Iinclude", "-o",
                binary, source, LIBRARY, "-pthread"])


@unittest.skipIf(not compilers(), "no C++ compiler")
class Cxx(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def programs(self, name):
        """What each compiler makes of tests/NAME.cc."""
        for compiler in compilers():
            binary = self.path(f"{name}-{os.path.basename(compiler[0])}")
            said = build(compiler, f"tests/{name}.cc", binary)
            self.assertEqual(said.returncode, 0, said.stderr)
            yield binary

    def test_a_program_uses_everything_and_destroys_what_it_constructs(self):
        for binary in self.programs("program"):
            for backend in BACKENDS:
                with self.subTest(binary=binary, backend=backend):
                    self.uses_everything(run_on(backend, binary))

    def uses_everything(self, said):
        self.assertEqual(said.stderr, "")
        self.assertEqual(said.stdout.splitlines(), [
            "no memory", "hello 2", "hello 2", "1 call, 2 connections",
            "name 1", "again", "name 2", "again",
            "7 constructed, 7 destroyed"])
        self.assertEqual(said.returncode, 0)

    def test_an_exception_that_leaves_a_callback_ends_the_program(self):
        for binary in self.programs("throws"):
            names = run([binary]).stdout.splitlines()
            self.assertGreater(len(names), 25)
            for backend in BACKENDS:
                for name in names:
                    with self.subTest(binary=binary, backend=backend, name=name):
                        self.is_refused(name, run_on(backend, binary, name))

    def is_refused(self, name, said):
        self.assertEqual(said.stdout, "")
        self.assertIn("plait: a callback must not throw an exception: see "
                      "plait_cxx(7)\n", said.stderr)
        self.assertIn(f"what():  {name}\n", said.stderr)
        self.assertEqual(said.returncode, -signal.SIGABRT)

    def test_a_class_with_virtual_functions_does_not_compile(self):
        with open(self.path("virtual.cc"), "w", encoding="ascii") as f:
            f.write("#include <plait/plait.h>\n"
                    "struct chat : plait_protocol { virtual ~chat(); };\n"
                    "chat *self(plait_protocol *p)\n"
                    "{ return plait_self(p, chat); }\n")
        for compiler in compilers():
            said = build(compiler, self.path("virtual.cc"), os.devnull)
            self.assertNotEqual(said.returncode, 0)
            self.assertIn("the library cannot hold a class with virtual "
                          "functions", said.stderr)

    def test_headers_may_stand_in_a_linkage_of_c(self):
        with open(self.path("wrapped.cc"), "w", encoding="ascii") as f:
            f.write('extern "C" {\n#include <plait/plait.h>\n}\n'
                    "int main()\n{ return plait_version() == nullptr; }\n")
        for compiler in compilers():
            said = build(compiler, self.path("wrapped.cc"),
                         self.path("wrapped"))
            self.assertEqual(said.returncode, 0, said.stderr)


if __name__ == "__main__":
    unittests.main()
