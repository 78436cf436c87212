#!/usr/bin/env python3
"""What `make install' brings: the samples compile from there, against the
library that is installed there, and run.

The last line is "N passed, N failed".
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import unittests  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("O", "build")
CC = os.environ.get("CC", "cc")
FLAGS = os.environ.get("CFLAGS", "-g -O2")


def run(*args, **more):
    return subprocess.run(args, text=True, check=False, timeout=600,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **more)


def said_at_no_address(said):
    return re.sub(r"0x[0-9a-f]+|/\S*/", "", said.stdout)


class Install(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, *names):
        return os.path.join(self.directory.name, *names)

    def passes(self, said):
        self.assertEqual(said.returncode, 0, said.stdout)

    def install(self, target, *more):
        """With the variables of the make that runs this, if one does."""
        prefix = self.path("prefix")
        self.passes(run("make", target, f"prefix={prefix}",
                        f"exec_prefix={prefix}", f"libdir={prefix}/lib",
                        f"includedir={prefix}/include",
                        f"datarootdir={prefix}/share", *more, cwd=TOP))

    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if k not in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
        env["PKG_CONFIG_PATH"] = self.path("prefix/lib/pkgconfig")
        env["LD_LIBRARY_PATH"] = self.path("prefix/lib")
        return env

    def says_the_same(self, examples, name, *args):
        there = run(os.path.join(examples, name), *args,
                    env=self.environment())
        here = run(os.path.join(TOP, BUILD, "samples", name), *args)
        self.assertEqual(there.returncode, 0, there.stdout)
        self.assertEqual(said_at_no_address(there), said_at_no_address(here))

    def test_the_samples_compile_from_where_they_are_installed_and_run(self):
        self.install("install")
        examples = self.path("examples")
        shutil.copytree(self.path("prefix/share/doc/plait/examples"), examples)
        self.passes(run("make", "-j2", "defer-cancel-2", "get-poetry",
                        f"CC={CC}", f"CFLAGS={FLAGS}", cwd=examples,
                        env=self.environment()))
        for program in (["defer-cancel-2"], ["get-poetry", "--help"]):
            self.says_the_same(examples, *program)

    def test_uninstalling_leaves_no_file(self):
        stage = self.path("stage")
        self.install("install", f"DESTDIR={stage}")
        self.install("uninstall", f"DESTDIR={stage}")
        left = [os.path.join(d, f) for d, _, files in os.walk(stage)
                for f in files]
        self.assertEqual(left, [])


if __name__ == "__main__":
    unittests.main()
