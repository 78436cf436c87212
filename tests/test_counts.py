#!/usr/bin/env python3
"""check-counts: what costs more is found, and the function that grew is named.

The work is a small program that speaks as those of bench/ do.  Needs valgrind
and strace; without them nothing is tested.  The last line is "N passed, N failed".
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import unittests  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CC = os.environ.get("CC", "cc").split()
PROGRAM = r"""
#include <stdio.h>
#include <unistd.h>
static volatile int sum;
static __attribute__((noinline)) void add_some(void)
{
	for (int i = 0; i < 20 + LOOP; i++)
		sum += i;
}
static __attribute__((noinline)) void add_more(void)
{
	for (int i = 0; i < 200; i++)
		sum += i;
}
static void serve_one(void)
{
	add_more();
	add_some();
	for (int i = 0; i < 1 + CALLS; i++)
		getppid();
}
int main(void)
{
	int n;
	printf("0 %d\n", (int)getpid());
	fflush(stdout);
	while (scanf("%d", &n) == 1) {
		for (int i = 0; i < n; i++)
			serve_one();
		printf("%d 1\n", n);
		fflush(stdout);
	}
	return 0;
}
"""


@unittest.skipUnless(shutil.which("valgrind") and shutil.which("strace"),
                     "no valgrind, or no strace")
class Counts(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        os.makedirs(os.path.join(self.directory, "build", "bench"))
        self.compile(loop=0, calls=0)
        self.run_check("record", "deferred")

    def compile(self, loop, calls):
        subprocess.run([*CC, "-g", "-O1", f"-DLOOP={loop}", f"-DCALLS={calls}",
                        "-x", "c", "-", "-o", "build/bench/plait_alone"],
                       input=PROGRAM, text=True, check=True, cwd=self.directory)

    def run_check(self, *words, flags="-O1"):
        return subprocess.run([os.path.join(TOP, "scripts", "check-counts"),
                               *words], text=True, cwd=self.directory,
                              check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT,
                              env={**os.environ, "O": "build", "CFLAGS": flags})

    def test_the_same_again_passes(self):
        said = self.run_check("deferred")
        self.assertEqual(said.returncode, 0, said.stdout)
        self.assertTrue(said.stdout.endswith("1 passed, 0 failed\n"))

    def test_a_longer_loop_fails_and_its_function_is_named(self):
        self.compile(loop=20, calls=0)
        said = self.run_check("deferred")
        self.assertEqual(said.returncode, 1, said.stdout)
        self.assertRegex(said.stdout, r"FAILED: [\d.]+ more instructions:\n"
                         r"\tadd_some: [\d.]+ -> [\d.]+\n")
        self.assertNotRegex(said.stdout, r"\tadd_more")

    def test_one_more_system_call_fails_and_is_named(self):
        self.compile(loop=0, calls=1)
        said = self.run_check("deferred")
        self.assertEqual(said.returncode, 1, said.stdout)
        self.assertIn("FAILED: 1.00 more system calls:\n\tgetppid: 1.0 -> 2.0\n",
                      said.stdout)

    def test_with_other_flags_it_is_only_reported(self):
        self.compile(loop=20, calls=0)
        said = self.run_check("deferred", flags="-O0")
        self.assertEqual(said.returncode, 0, said.stdout)
        self.assertIn("only reported", said.stdout)


if __name__ == "__main__":
    unittests.main()
