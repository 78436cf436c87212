#!/usr/bin/env python3
"""scripts/mutate itself, on a small tree: what it plants, and what it says.

The library of the tree is lib/age.c, with lib/age.h; its suites are programs
that say what Check says.  The last line is "N passed, N failed".
"""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import unittests  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CC = os.environ.get("CC", "cc").split()

HEADER = "static inline int older(int age)\n{\n\treturn age + 1;\n}\n"
LIBRARY = """#include "lib/age.h"
int grow(int age);
int grow(int age)
{
	if (age < 0)
		return 0;
	return older(age);
}
"""
SUITE = """#include <stdio.h>
#include <stdlib.h>
int grow(int age);
int main(void)
{
	if (%s)
		return 0;
	puts("tests/test_age.c:7:F:ages:%s:0: Assertion failed");
	return 1;
}
"""


class Tree(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.write("lib/age.h", HEADER)
        self.write("lib/age.c", LIBRARY)
        for folder in ("build/verify/lib", "build/tests", "tests/mutants"):
            os.makedirs(os.path.join(self.directory.name, folder))
        self.write("build/verify/seam.syms", "")
        self.compile("-MMD", "-c", "-o", "build/verify/lib/age.o", "lib/age.c")
        self.in_tree("ar", "rcs", "build/verify/libseam.a", "build/verify/lib/age.o")
        self.suite("age", "grow(1) == 2", "one_is_two_next_year")
        self.suite("unborn", "grow(-3) == 0", "nobody_grows_unborn")

    def write(self, path, text):
        path = os.path.join(self.directory.name, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)

    def in_tree(self, *command):
        subprocess.run(command, cwd=self.directory.name, check=True)

    def compile(self, *rest):
        self.in_tree(*CC, "-I.", *rest)

    def suite(self, name, holds, test):
        self.write(f"tests/test_{name}.c", SUITE % (holds, test))
        self.compile("-c", "-o", f"build/tests/test_{name}.o", f"tests/test_{name}.c")

    def list_entry(self, *lines, suites="age"):
        self.write("tests/mutants/small.list",
                   "\n".join([f"@ lib/age.c: {suites}", *lines]) + "\n")

    def plant(self, kind, old, new, about="Somebody ages.\n"):
        self.write(f"tests/mutants/{kind}/bug.patch",
                   f"{about}\n--- a/lib/age.c\n+++ b/lib/age.c\n"
                   f"@@ -5,3 +5,3 @@\n-{old}\n+{new}\n \t\treturn 0;\n"
                   " \treturn older(age);\n")

    def mutate(self, *options, **env):
        said = subprocess.run(
            [os.path.join(TOP, "scripts/mutate"), *options], check=False,
            cwd=self.directory.name, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "O": "build", "MUTATE_COMPILE": " ".join(CC),
                 "MUTATE_INCLUDES": "-I.", "MUTATE_OBJCOPY": "objcopy",
                 "MUTATE_LINK": " ".join(CC), "MUTATE_HARNESS": "",
                 "MUTATE_LIBS": "", **env})
        return said.returncode, said.stdout

    def says(self, status, *parts, options=(), **env):
        returned, said = self.mutate(*options, **env)
        for part in parts:
            self.assertIn(part, said)
        self.assertEqual(returned, status, said)
        return said


class Small(Tree):
    def test_what_a_related_suite_notices_is_caught_by_its_test(self):
        self.list_entry("-\treturn older(age);", "+\treturn age;")
        self.says(0, "caught  lib/age.c:7: age: one_is_two_next_year",
                  "1 mutants: 1 caught (100.0 %), 0 survived")
        with open(f"{self.directory.name}/build/mutants/small.table",
                  encoding="ascii") as f:
            self.assertEqual(f.read(),
                             "lib/age.c:7 | return older(age); => return age; | "
                             "age: one_is_two_next_year\n")

    def test_all_suites_are_tried_when_the_related_ones_notice_nothing(self):
        self.list_entry("-\t\treturn 0;", "+\t\treturn 1;")
        self.says(0, "lib/age.c:6: unborn: nobody_grows_unborn")
        self.list_entry("-\t\treturn 0;", "+\t\treturn 2;")
        self.says(1, "LIVES   lib/age.c:6: SURVIVED", options=["--related"])

    def test_what_nothing_notices_survives(self):
        self.list_entry("-\tif (age < 0)", "+\tif (age < -5)", " \t\treturn 0;",
                        "~ unborn", "", "-\tif (age < 0)", "+\tif (age < 1 - 1)")
        self.says(1, "caught  lib/age.c:5: unborn", "LIVES   lib/age.c:5b: SURVIVED",
                  "2 mutants: 1 caught (50.0 %), 1 survived",
                  "survived: lib/age.c:5b: if (age < 0) => if (age < 1 - 1)")

    def test_what_behaves_as_the_original_is_not_run(self):
        self.list_entry("-\tif (age < 0)", "+\tif (age <= -1)",
                        "= an age is a whole number")
        self.says(0, "0 mutants: 0 caught", "1 more behave as the original")

    def test_an_entry_that_no_longer_applies_is_told(self):
        self.list_entry("-\tif (age > 0)", "+\tif (age > 1)", "", "-}", "+};",
                        "", "what is this?")
        self.says(1, "lib/age.c (entry at line 2): no longer applies: "
                     "the file has no such lines",
                  "small.list:8: is no entry: what is this?", options=["--check"])
        self.write("lib/age.c", LIBRARY + LIBRARY)
        self.list_entry("-\tif (age < 0)", "+\tif (age < 1)")
        self.says(1, "no longer applies: the lines are there 2 times")

    def test_an_entry_that_does_not_compile_is_told(self):
        self.list_entry("-\tif (age < 0)", "+\tif (age < )")
        self.says(1, "lib/age.c:5: does not build", options=["--check"])
        self.says(1, "lib/age.c:5: does not build")

    def test_a_suite_without_end_is_caught_by_the_limit(self):
        self.list_entry("-\treturn older(age);", "+\twhile (age) ;", "+\treturn 0;")
        self.says(0, "caught  lib/age.c:7: age: (no end in 1 s)",
                  options=["-t", "1"])

    def test_what_is_known_is_not_run_again(self):
        self.list_entry("-\treturn older(age);", "+\treturn age;")
        self.says(0, "1 caught")
        self.says(0, "caught  lib/age.c:7: age: one_is_two_next_year",
                  MUTATE_COMPILE="false")
        self.write("lib/age.c", LIBRARY + "\n")
        self.says(1, "does not build", MUTATE_COMPILE="false")

    def test_a_suite_that_fails_by_itself_leaves_its_mutants_not_run(self):
        self.suite("age", "grow(1) == 3", "one_is_three_next_year")
        self.list_entry("-\treturn older(age);", "+\treturn age;",
                        "", "-\t\treturn 0;", "+\t\treturn 1;")
        said = self.says(
            1, "without a mutant, age fails: one_is_three_next_year",
            "not run lib/age.c:7: NOT RUN (age left out)",
            "caught  lib/age.c:6: unborn: nobody_grows_unborn",
            "1 mutants: 1 caught (100.0 %), 0 survived, 1 not run",
            "  not run: lib/age.c:7: return older(age); => return age;")
        self.assertNotIn("SURVIVED", said)

    def test_what_was_not_run_is_run_when_its_suite_is_there(self):
        self.list_entry("-\treturn older(age);", "+\treturn age;")
        built = os.path.join(self.directory.name, "build/tests/test_age.o")
        os.rename(built, built + ".old")
        for options in [], ["--related"]:
            self.says(1, "not run lib/age.c:7: NOT RUN (age left out)",
                      "0 mutants: 0 caught, 0 survived, 1 not run",
                      options=options)
        os.rename(built + ".old", built)
        self.says(0, "caught  lib/age.c:7: age: one_is_two_next_year")

    def test_a_mutant_for_which_no_suite_is_named_is_not_run(self):
        self.list_entry("-\treturn older(age);", "+\treturn age;", suites="")
        self.says(1, "NOT RUN (no suite is named)", options=["--related"])
        self.says(0, "caught  lib/age.c:7: age: one_is_two_next_year")

    def test_a_suite_that_does_not_exist_is_told(self):
        self.list_entry("-\treturn older(age);", "+\treturn age;",
                        suites="old")
        self.says(1, "lib/age.c:7: there is no suite old")


class Patches(Tree):
    def test_a_patch_is_caught_by_its_lanes_and_beside_by_the_suite(self):
        self.plant("young", "\tif (age < 0)", "\tif (age < 2)",
                   "Suites: age\n")
        self.write("tests/mutants/lanes", "young: A=1 unborn\n")
        self.says(1, "LIVES   young/bug: SURVIVED | suite: "
                     "age: one_is_two_next_year", options=["-k", "young"])
        self.write("tests/mutants/lanes", "young: unborn age\n")
        self.says(0, "caught  young/bug: age: one_is_two_next_year | "
                     "suite: nothing", options=["-k", "all"])

    def test_a_lane_that_is_left_out_leaves_its_mutants_not_run(self):
        self.plant("young", "\tif (age < 0)", "\tif (age < 2)", "Suites: age\n")
        self.write("tests/mutants/lanes", "young: elder\n")
        self.write("tests/test_elder.c", "")
        self.says(1, "not run young/bug: NOT RUN (elder left out) | suite: "
                     "age: one_is_two_next_year", options=["-k", "young"])

    def test_lanes_can_be_run_alone(self):
        self.plant("young", "\tif (age < 0)", "\tif (age < 2)",
                   "Suites: unknown\n")
        self.write("tests/mutants/lanes", "young: age\n")
        self.says(0, "caught  young/bug: age: one_is_two_next_year | "
                     "suite: not tried", options=["-k", "young", "--lanes"])

    def test_a_lane_gets_its_settings(self):
        self.suite("age", 'getenv("SEEDS") == NULL || grow(1) == 2', "seeds")
        self.plant("young", "\tif (age < 0)", "\tif (age < 2)")
        self.write("tests/mutants/lanes", "young: SEEDS=9 age\n")
        self.says(0, "caught  young/bug: age: seeds", options=["-k", "young"])

    def test_a_patch_that_no_longer_applies_is_told(self):
        self.plant("young", "\tif (age < 9)", "\tif (age < 2)")
        self.says(1, "young/bug: no longer applies", options=["-k", "young"])

    def test_a_header_that_changes_changes_those_who_include_it(self):
        self.write("tests/mutants/young/bug.patch",
                   "Nobody ages.\n\n--- a/lib/age.h\n+++ b/lib/age.h\n"
                   "@@ -2,3 +2,3 @@\n {\n-\treturn age + 1;\n+\treturn age;\n }\n")
        self.says(0, "caught  young/bug: age: one_is_two_next_year",
                  options=["-k", "young"])


if __name__ == "__main__":
    unittests.main()
