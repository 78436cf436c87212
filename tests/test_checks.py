#!/usr/bin/env python3
"""The checks themselves: each must fail on a small tree with a mistake.

The trees are made in a temporary directory.  The last line is
"N passed, N failed".
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import unittests  # noqa: E402

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

    def run_check(self, name, **more):
        """With plain flags: what is planted is not measured."""
        return subprocess.run([os.path.join(TOP, "scripts", name)], text=True,
                              cwd=self.directory.name, check=False,
                              env={**os.environ, "O": "build", "CFLAGS": "-g",
                                   "LIB": "build/libplait.a",
                                   "HAVE_OPENSSL": "1", **more},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def passes(self, name, **more):
        said = self.run_check(name, **more)
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


class Addresses(Tree):
    def setUp(self):
        super().setUp()
        self.write("tests/wrap.list", "")
        self.write("tests/allow.list", "")

    def test_a_cast_that_takes_const_away_passes(self):
        self.write("lib/low.c", "void *p = (void *)(uintptr_t)&q;\n")
        self.passes("check-symbols")

    def test_an_address_as_a_number_is_told(self):
        self.write("lib/low.c", "size_t n = (uintptr_t)p % 7;\n")
        self.fails("check-symbols", "lib/low.c: makes a number of an address")


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


class Tls(Tree):
    """libplait-tls stands above libplait, and alone on OpenSSL."""

    def setUp(self):
        super().setUp()
        for name in ("wrap", "allow"):
            self.write(f"tests/{name}.list", "")
        self.write("include/plait/base.h", "#include <stddef.h>\n")

    def library(self, name, *more):
        """An empty library, linked with more."""
        path = self.write(f"build/{name}.so", "")
        subprocess.run([*CC, "-shared", "-nostdlib", "-Wl,--no-as-needed", "-x", "c",
                        "-o", path, "/dev/null", "-x", "none", *more], check=True)
        return path

    def test_what_stands_above_may_call_openssl_and_be_included(self):
        self.add("protocols/tls/high.c", "plait_i_tls_high", "SSL_read")
        self.write("include/plait/tls.h", "#include <plait/base.h>\n")
        self.write("protocols/tls/high.h",
                   "#include <openssl/ssl.h>\n#include <plait/tls.h>\n")
        self.write("samples/tls-echo.c", "#include <plait/tls.h>\n")
        self.passes("check-symbols")
        self.passes("check-layers")

    def test_a_call_of_openssl_below_is_told(self):
        self.add("reactor/net/low.c", "plait_i_low", "SSL_read")
        self.fails("check-symbols", "reactor/net/low.c: calls SSL_read, which is "
                   "in neither tests/wrap.list nor tests/allow.list")

    def test_a_file_below_that_uses_tls_is_told(self):
        self.add("protocols/tls/high.c", "plait_i_tls_high")
        self.add("protocols/low.c", "plait_i_low", "plait_i_tls_high")
        self.fails("check-symbols",
                   "protocols/low.c: uses plait_i_tls_high of libplait-tls",
                   "protocols/low.c: uses plait_i_tls_high, which is not public")

    def test_tls_uses_what_is_public_alone(self):
        self.add("protocols/low.c", "plait_i_low")
        self.add("protocols/tls/high.c", "plait_i_tls_high", "plait_i_low")
        self.fails("check-symbols", "protocols/tls/high.c: uses plait_i_low, which "
                   "is not public")

    def test_who_includes_openssl_below_is_told(self):
        self.write("include/plait/tls.h", "#include <openssl/ssl.h>\n")
        self.write("include/plait/plait.h", "#include <plait/tls.h>\n")
        self.write("protocols/low.c", '#include "protocols/tls/high.h"\n')
        self.fails("check-layers",
                   "layer: include/plait/plait.h:1:#include <plait/tls.h>",
                   "layer: include/plait/tls.h:1:#include <openssl/ssl.h>",
                   'layer: protocols/low.c:1:#include "protocols/tls/high.h"')

    def test_a_library_that_needs_another_one_than_libc_is_told(self):
        ssl = self.library("libssl")
        self.library("libplait", ssl)
        self.fails("check-symbols", f"libplait.so: needs {ssl}")

    def test_what_is_left_out_has_no_object(self):
        self.write("protocols/tls/high.c", "")
        self.picture("protocols/tls", "high.c")
        self.fails("check-circles", "protocols/tls/high.c: there is no object of it")
        self.passes("check-circles", HAVE_OPENSSL="")


class Page(Tree):
    """A header, and its page, in which a fault is planted."""

    HEADER = """\
struct plait_poem {
	int lines;
	int (*recite)(struct plait_poem *p);
	/* private */
	void *paper;
	uintptr_t reserved[2]; /* zero */
};
enum { PLAIT_SHORT = 1, PLAIT_LONG };
#define PLAIT_VERSION "1.2.3"
typedef void plait_poet(int n);
extern const struct plait_poem plait_raven;
int plait_fail(int n);
void *plait_make(int n);
"""
    PAGE = r""".Dd November 20, 2026
.Dt PLAIT_FAIL 3
.Os
.Sh NAME
.Nm plait_fail ,
.Nm plait_make
.Nd fail in the end
.Sh SYNOPSIS
.In plait/plait.h
.Bd -literal
struct plait_poem {
	int lines; /* so many */
	int (*recite)(struct plait_poem *p);
};

enum {
	PLAIT_SHORT = 1, /* or PLAIT_VERSION */
	PLAIT_LONG
};
.Ed
.Vt extern const struct plait_poem plait_raven ;
.Fd #define PLAIT_VERSION
.Ft typedef void
.Fn plait_poet "int n"
.Ft int
.Fn plait_fail "int n"
.Ft void *
.Fn plait_make "int n"
.Sh DESCRIPTION
There is much to say.
.Bl -tag -width Ds
.It a tag
Some text.
.El
.Sh RETURN VALUES
.Fn plait_make
returns
.Dv NULL
with
.Va errno
set to
.Er ENOMEM .
.Sh EXAMPLES
.Bd -literal
int n = plait_fail(3);
.Ed
.Sh ERRORS
.Bl -tag -width Er
.It Bq Er -EINVAL
Of
.Fn plait_fail :
this cannot fail.
.El
"""

    def plant(self, old="", new=""):
        self.assertIn(old, self.PAGE)
        self.write("include/plait/base.h", self.HEADER)
        self.write("man/plait_fail.3", self.PAGE.replace(old, new, 1))


class Pages(Page):
    def test_a_page_without_a_fault_passes(self):
        self.plant()
        self.passes("check-man")

    def test_words_that_are_macros_are_told(self):
        self.plant("It a tag", "It In time")
        self.fails("check-man",
                   "man/plait_fail.3:32: In is a macro: write \\&In")
        self.plant("It a tag", "It No memory")
        self.fails("check-man",
                   "man/plait_fail.3:32: No is a macro: write \\&No")
        self.plant("It a tag", "It Sy limits Li bytes")
        self.fails("check-man",
                   "man/plait_fail.3:32: Li is a macro: write \\&Li")

    def test_words_that_are_quoted_or_meant_are_not_told(self):
        for tag in ('It "In time"', r"It \&In time", "It Sy max , No bytes"):
            self.plant("It a tag", tag)
            self.passes("check-man")

    def test_what_is_not_shown_is_told(self):
        self.plant("int n = plait_fail(3);", 'puts("\\n");')
        self.fails("check-man", 'man/plait_fail.3:45: unknown escape: puts("\\n");')
        self.plant("There is much to say.", "'ft B")
        self.fails("check-man", "man/plait_fail.3:30: a line that begins with "
                   "' is a macro's")

    def test_an_errno_has_the_sign_that_its_functions_give_it(self):
        self.plant("Er -EINVAL", "Er EINVAL")
        self.fails("check-man", "man/plait_fail.3:49: EINVAL is -EINVAL of "
                   "plait_fail")
        self.plant(".Fn plait_fail :", ".Fn plait_make :")
        self.fails("check-man", "man/plait_fail.3:49: -EINVAL is EINVAL of "
                   "plait_make")
        self.plant("Er ENOMEM .", "Er -ENOMEM .")
        self.fails("check-man", "man/plait_fail.3:42: -ENOMEM is ENOMEM of "
                   "plait_make")
    def test_a_name_that_no_page_declares_is_told(self):
        for old, name in (("PLAIT_LONG\n", "PLAIT_LONG"),
                          (".Fd #define PLAIT_VERSION\n", "PLAIT_VERSION"),
                          ('.Ft typedef void\n.Fn plait_poet "int n"\n',
                           "plait_poet"),
                          (".Vt extern const struct plait_poem plait_raven ;\n",
                           "plait_raven")):
            with self.subTest(name):
                self.plant(old, "")
                told = self.run_check("check-man").stdout.splitlines()
                self.assertIn(f"include/plait/base.h: no page declares {name}",
                              told)

    def test_a_name_that_is_declared_twice_or_in_no_header_is_told(self):
        self.plant(".Fd #define PLAIT_VERSION\n",
                   ".Fd #define PLAIT_VERSION\n.Fd #define PLAIT_GONE\n")
        self.fails("check-man",
                   "man/plait_fail.3: PLAIT_GONE is in no header")
        self.plant()
        self.write("man/plait_other.3", self.PAGE
                   .replace("PLAIT_FAIL 3", "PLAIT_OTHER 3")
                   .replace("Nm plait_fail", "Nm plait_other"))
        told = self.run_check("check-man").stdout.splitlines()
        self.assertIn("man-aliases: plait_raven is declared in plait_fail.3 "
                      "and in plait_other.3", told)

    def test_a_declaration_that_is_repeated_is_of_one_page(self):
        self.plant(".Ft typedef void\n",
                   '.\\" from plait_other(3)\n.Ft typedef void\n')
        self.fails("check-man",
                   "include/plait/base.h: no page declares plait_poet")

    def test_a_type_that_is_used_stands_near(self):
        other = (self.PAGE.replace("PLAIT_FAIL 3", "PLAIT_RECITE 3")
                 .replace("Nm plait_fail", "Nm plait_recite"))
        start, end = other.index(".Bd"), other.index(".Sh DESC")
        other = (other[:start] + """\
.Ft void
.Fn plait_recite "struct plait_poem *p" "plait_poet *poet"
""" + other[end:]).replace(" ,\n.Nm plait_make", "")
        self.HEADER += "void plait_recite(struct plait_poem *p, " \
            "plait_poet *poet);\n"
        self.plant()
        self.write("man/plait_recite.3", other)
        self.fails("check-man",
                   "man/plait_recite.3: the SYNOPSIS uses plait_poet, and does "
                   "not declare it",
                   "man/plait_recite.3: the SYNOPSIS uses plait_poem: needs an "
                   ".Xr to man/plait_fail.3")
        self.write("man/plait_recite.3", other.replace(
            ".Ft void\n", '.\\" from plait_fail(3)\n.Ft typedef void\n'
            '.Fn plait_poet "int n"\n.Ft void\n') +
            ".Sh SEE ALSO\n.Xr plait_make 3\n")
        self.passes("check-man")

    def test_members_are_those_of_the_header(self):
        self.plant("int lines; /* so many */", "int line;")
        self.fails("check-man", "man/plait_fail.3: struct plait_poem has other "
                   "members in its header")
        self.plant("PLAIT_SHORT = 1", "PLAIT_SHORT = 2")
        self.fails("check-man", "man/plait_fail.3: enum PLAIT_SHORT has other "
                   "members in its header")

    def test_what_is_wider_than_a_terminal_is_told(self):
        self.plant("plait_fail(3)", f"plait_fail({'3' * 54})")
        self.passes("check-man")
        self.plant("plait_fail(3)", f"plait_fail({'3' * 55})")
        self.fails("check-man", "man/plait_fail.3: 81 columns: "
                   f"int n = plait_fail({'3' * 55});")


class Growth(Tree):
    """Headers with two structs of programs, and a library with nothing in it."""

    HEADER = """\
#include <stdint.h>
struct plait_timer {
	void *arg;
	uintptr_t reserved[1];
};
struct plait_list {
	struct plait_list *next;
};
"""
    STRUCTS = """\
plait_timer void *arg
plait_list final
"""

    def plant(self, header=HEADER, structs=STRUCTS, page=".Vt struct plait_list\n"):
        self.write("include/plait/plait.h", header)
        self.write("tests/grown/structs", structs)
        self.write("man/plait.7", page)
        for name in ("old", "new"):
            self.write(f"tests/grown/{name}.c", "int main(void) { return 0; }\n")
        for name in ("libplait.a", "grown/libplait.a"):
            path = self.write(f"build/{name}", "")
            os.remove(path)
            subprocess.run(["ar", "qcs", path], check=True)

    def test_structs_with_room_pass(self):
        self.plant()
        self.passes("check-growth", HAVE_OPENSSL="")

    def test_a_struct_that_has_lost_its_reserved_words_is_told(self):
        self.plant(self.HEADER.replace("	uintptr_t reserved[1];\n", ""))
        self.fails("check-growth", "struct plait_timer has no reserved word: "
                   "with a further member it has 16 bytes, and not 8")

    def test_a_struct_that_nobody_has_thought_of_is_told(self):
        self.plant(self.HEADER + "struct plait_new {\n\tint n;\n};\n")
        self.fails("check-growth", "struct plait_new: in the headers or in "
                   "tests/grown/structs, not in both")

    def test_a_struct_that_is_final_and_not_said_so_is_told(self):
        self.plant(page="")
        self.fails("check-growth",
                   "man/plait.7: does not say that struct plait_list is final")


@unittest.skipUnless(shutil.which("abidiff") and platform.machine() == "x86_64",
                     "there is no abidiff, or it is another machine")
class Abi(Tree):
    """A header, the library that has its function, and what was recorded."""

    HEADER = """\
struct plait_pair {
	int first, second;
};
enum plait_kind { PLAIT_KIND_A, PLAIT_KIND_B };
enum { PLAIT_BIT = 4 };
int plait_fail(struct plait_pair *p, enum plait_kind k);
"""

    def setUp(self):
        super().setUp()
        self.plant()
        subprocess.run([os.path.join(TOP, "scripts", "check-abi"), "record"],
                       cwd=self.directory.name, check=True,
                       env={**os.environ, "O": "build"})

    def plant(self, old="", new=""):
        self.assertIn(old, self.HEADER)
        self.write("include/plait/plait.h", self.HEADER.replace(old, new, 1))
        library = self.write("build/libplait.so", "")
        subprocess.run([*CC, "-shared", "-fPIC", "-x", "c", "-o", library, "-"],
                       input="int plait_fail(void) { return 0; }", text=True,
                       check=True)

    def differs(self, old, new):
        self.plant(old, new)
        said = self.run_check("check-abi")
        self.assertEqual(said.returncode, 1)
        self.assertIn("make record-abi", said.stdout)

    def test_what_was_recorded_passes(self):
        self.passes("check-abi")

    def test_what_a_program_sees_must_stay(self):
        self.differs("first, second", "second, first")
        self.differs("int first", "long first")
        self.differs("PLAIT_KIND_A, ", "")
        self.differs("PLAIT_BIT = 4", "PLAIT_BIT = 8")
        self.differs("int plait_fail", "long plait_fail")

    def test_what_is_new_is_told(self):
        self.differs("int first", "int zeroth, first")
        self.differs("enum { PLAIT_BIT", "enum plait_new { PLAIT_NEW };\nenum { PLAIT_BIT")

    def test_a_function_that_the_library_has_not_is_told(self):
        self.plant("int plait_fail", "int plait_new(void);\nint plait_fail")
        self.assertNotEqual(self.run_check("check-abi").returncode, 0)


class Html(Page):
    """The same page, in a browser."""

    def plant(self, old="", new=""):
        super().plant(old, new)
        self.write("man/index.txt", "Begin\n\tplait_fail.3\n")
        self.write("man/style.css", "")

    def read(self, file):
        path = os.path.join(self.directory.name, "build/check-html", file)
        with open(path, encoding="utf-8") as f:
            return f.read()

    def test_names_lead_to_where_they_are_declared(self):
        self.plant("There is much to say.", "See\n.Xr plait_make 3 .")
        self.passes("check-html")
        page = self.read("plait_fail.3.html")
        for name in ("plait_poem", "PLAIT_LONG", "PLAIT_VERSION", "plait_poet",
                     "plait_raven", "plait_fail", "plait_make"):
            self.assertIn(f'id="{name}"', page)
            self.assertIn(f'href="plait_fail.3.html#{name}"',
                          self.read("names.html"))
        self.assertIn('href="plait_fail.3.html#plait_make">plait_make(3)</a>',
                      page)
        self.assertIn('<a href="#plait_fail">plait_fail</a>(3);', page)

    def test_links_that_lead_nowhere_are_told(self):
        self.plant("There is much to say.", ".Lk gone.html here")
        told = self.run_check("check-html").stdout
        self.assertIn("gone.html: there is no such file", told)
        self.plant("There is much to say.", ".Lk index.html#gone here")
        told = self.run_check("check-html").stdout
        self.assertIn("index.html#gone: there is no such anchor", told)

    def test_a_page_that_is_in_no_task_or_in_two_is_told(self):
        self.plant()
        for text, odd in (("Begin\n\tplait_fail.3 plait_gone.3\n", "gone"),
                          ("Begin\n", "fail"),
                          ("Begin\n\tplait_fail.3\nEnd\n\tplait_fail.3\n",
                           "fail")):
            self.write("man/index.txt", text)
            self.fails("check-html", "man/index.txt: each page stands there "
                       f"once, but for plait_{odd}.3")


class Namespaces(unittest.TestCase):
    """check-names has an /etc of its own: it must never mount one elsewhere."""

    def mounts(self, prefix, outside):
        """What the lane says that it was told to mount something."""
        said = subprocess.run(
            [*prefix, sys.executable, "-B", "-c",
             "import world; world.mount('--bind', '/nowhere', '/nowhere')"],
            cwd=os.path.join(TOP, "tests", "names"), text=True, check=False,
            env={**os.environ, "PLAIT_NAMES_OUTSIDE": outside},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertNotEqual(said.returncode, 0)
        return said.stdout

    def test_nothing_is_mounted_in_the_namespace_of_others(self):
        own = os.readlink("/proc/self/ns/mnt")
        for outside in own, "", "anything":
            self.assertIn("this is not a namespace that enter() has made",
                          self.mounts([], outside))

    def test_nothing_is_mounted_where_others_would_see_it(self):
        root = [] if os.geteuid() == 0 else ["-r"]
        apart = ["unshare", *root, "-m"]
        if subprocess.run([*apart, "true"], check=False,
                          stderr=subprocess.DEVNULL).returncode:
            self.skipTest("the system refuses namespaces")
        own = os.readlink("/proc/self/ns/mnt")
        self.assertIn("a mount here would be seen outside: ", self.mounts(
            [*apart, "--propagation", "shared"], own))
        self.assertIn("/nowhere", self.mounts(
            [*apart, "--propagation", "private"], own))


if __name__ == "__main__":
    unittests.main()
