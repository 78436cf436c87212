#!/usr/bin/env python3
"""The checks themselves: each must fail on a small tree with a mistake.

The trees are made in a temporary directory.  The last line is
"N passed, N failed".
"""

import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CC = os.environ.get("CC", "cc").split()


class Tree(unittest.TestCase):
    """A tree with sources, their objects, and a picture of them."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def write(self, path, text):
        path = os.path.join(self.directory.name, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def add(self, source, defines, *calls):
        """A source with one function, which calls those functions."""
        text = "".join(f"void {name}(void);\n" for name in (defines, *calls))
        body = "".join(f"\t{name}();\n" for name in calls)
        path = self.write(source, f"{text}void {defines}(void)\n{{\n{body}}}\n")
        obj = self.write(f"build/verify/{source[:-2]}.o", "")
        subprocess.run([*CC, "-c", "-o", obj, path], check=True)

    def picture(self, *lines):
        rows = "".join(f"    {line}\n" for line in lines[1:])
        self.write("ARCHITECTURE.md", f"Inside `{lines[0]}/`:\n\n{rows}\nEnd.\n")

    def run_check(self, name):
        return subprocess.run([os.path.join(TOP, "scripts", name)], text=True,
                              cwd=self.directory.name, check=False,
                              env={**os.environ, "O": "build"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def passes(self, name):
        said = self.run_check(name)
        self.assertEqual(said.returncode, 0, said.stdout)

    def fails(self, name, *lines):
        said = self.run_check(name)
        self.assertEqual(said.returncode, 1)
        self.assertEqual(said.stdout.splitlines(), list(lines))


class Circles(Tree):
    def test_what_stands_on_those_above_passes(self):
        self.add("lib/low.c", "plait_i_low")
        self.add("lib/high.c", "plait_i_high", "plait_i_low")
        self.picture("lib", "low.c    below", "high.c   above")
        self.passes("check-circles")

    def test_files_that_call_each_other_are_told_with_the_names(self):
        self.add("lib/low.c", "plait_i_low", "plait_i_high")
        self.add("lib/high.c", "plait_i_high", "plait_i_low")
        self.picture("lib", "low.c, high.c")
        self.fails("check-circles", "circle of 2 files:",
                   "\tlib/high.c -> lib/low.c: plait_i_low",
                   "\tlib/low.c -> lib/high.c: plait_i_high",
                   "ARCHITECTURE.md: lib/low.c stands before lib/high.c and "
                   "depends on it: plait_i_high")

    def test_folders_that_call_each_other_are_told_without_a_circle_of_files(self):
        self.add("reactor/east/a.c", "plait_i_a")
        self.add("reactor/west/b.c", "plait_i_b", "plait_i_a")
        self.add("reactor/east/c.c", "plait_i_c", "plait_i_b")
        self.picture("reactor", "east/  a.c", "west/  b.c", "east/  c.c")
        self.fails("check-circles", "circle of 2 folders:",
                   "\treactor/east -> reactor/west: plait_i_b",
                   "\treactor/west -> reactor/east: plait_i_a")

    def test_a_call_of_what_stands_below_is_told(self):
        self.add("lib/low.c", "plait_i_low")
        self.add("lib/high.c", "plait_i_high", "plait_i_low")
        self.picture("lib", "high.c, low.c")
        self.fails("check-circles",
                   "ARCHITECTURE.md: lib/high.c stands before lib/low.c and "
                   "depends on it: plait_i_low")

    def test_headers_that_include_each_other_are_told(self):
        self.add("lib/low.c", "plait_i_low")
        self.write("lib/low.h", '#include "lib/high.h"\n')
        self.write("lib/high.h", '#include "lib/low.h"\n')
        self.picture("lib", "low.c, high.h")
        self.fails("check-circles", "circle of 2 files:",
                   "\tlib/high.h -> lib/low.c: lib/low.h",
                   "\tlib/low.c -> lib/high.h: lib/high.h",
                   "ARCHITECTURE.md: lib/low.c stands before lib/high.h and "
                   "depends on it: lib/high.h")

    def test_the_picture_names_what_there_is_once(self):
        self.add("lib/here.c", "plait_i_here")
        self.add("lib/missing.c", "plait_i_missing")
        self.write("lib/alone.h", "")
        self.picture("lib", "here.c, gone.c", "here.c")
        self.fails("check-circles",
                   "ARCHITECTURE.md: names lib/here.c 2 times",
                   "ARCHITECTURE.md: there is no lib/gone.c",
                   "ARCHITECTURE.md: lib/missing.c is missing",
                   "ARCHITECTURE.md: lib/alone.h is missing")

    def test_a_source_without_an_object_is_told(self):
        self.write("lib/low.c", "")
        self.picture("lib", "low.c")
        self.fails("check-circles",
                   "lib/low.c: there is no object of it")


class Names(Tree):
    def setUp(self):
        super().setUp()
        self.write("tests/wrap.list", "")
        self.write("tests/allow.list", "")

    def test_static_functions_with_a_noun_pass(self):
        self.write("lib/a.c", "static int\na_step(int (*f)(void))\n{\n}\n")
        self.write("lib/b.c", "static void b_step(void);\n"
                   "static void b_step(void)\n{\n}\n")
        self.write("lib/it.c", "static int it(void *ptr)\n{\n}\n")
        self.passes("check-symbols")

    def test_static_functions_without_a_noun_are_told(self):
        self.write("lib/a.c", "static void\nstep(int n,\n\tint m)\n{\n}\n")
        self.write("lib/b.h", "static inline int take_one(void)\n{\n}\n")
        self.write("lib/c.c", "static struct c *take_one(int n)\n{\n}\n")
        self.fails("check-symbols",
                   "lib/a.c: step() needs its noun in its name",
                   "lib/c.c: take_one() is a function of lib/b.h, too")


class Kernel(Tree):
    def setUp(self):
        super().setUp()
        self.write("tests/wrap.list", "mmap\nopen\nrecv\n")
        self.write("tests/allow.list", "")

    def test_calls_of_the_kernel_stand_in_its_folder(self):
        self.add("reactor/kernel/linux.c", "plait_i_linux", "recv")
        self.add("reactor/net/stream.c", "plait_i_stream",
                 "plait_i_linux")
        self.add("reactor/loop/pool.c", "plait_i_pool", "mmap")
        self.add("lib/base.c", "plait_i_base", "open")
        self.passes("check-symbols")

    def test_who_goes_past_the_table_is_told(self):
        self.add("lib/low.c", "plait_i_low", "open")
        self.add("reactor/net/stream.c", "plait_i_stream", "recv")
        self.add("reactor/loop/pool.c", "plait_i_pool", "recv")
        self.fails("check-symbols",
                   "lib/low.c: may not call open",
                   "reactor/loop/pool.c: may not call recv",
                   "reactor/net/stream.c: may not call recv")


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
