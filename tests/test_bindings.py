#!/usr/bin/env python3
"""What plait_bindings(7) says, done from Python, with nothing but ctypes.

The last line is "N passed, N failed".
"""

import ctypes
import errno
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import unittests  # noqa: E402

BUILD = os.environ.get("O", "build")
INSTRUMENTED = bool(os.environ.get("SANITIZE")) or "coverage" in BUILD
HERE = b"test_bindings.py"


class Value(ctypes.Structure):
    _fields_ = [("type", ctypes.c_void_p), ("ptr", ctypes.c_void_p)]


class Bound(ctypes.Structure):
    Function = ctypes.CFUNCTYPE(None, ctypes.POINTER(Value), ctypes.c_void_p)
    _fields_ = [("fn", Function), ("arg", ctypes.c_void_p)]


class Call(ctypes.Structure):
    _fields_ = [("slot", ctypes.c_void_p), ("id", ctypes.c_uint64)]


Func = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
Handle = ctypes.c_void_p
Address = ctypes.POINTER(ctypes.c_void_p)
Slot = ctypes.POINTER(Value)
Text = ctypes.c_char_p

# What it returns, and what it takes.
PROTOTYPES = {
    "plait_int": (Value, ctypes.c_ssize_t),
    "plait_value_int": (ctypes.c_ssize_t, Slot, Text),
    "plait_value_free": (None, Slot),
    "plait_value_failure": (Handle, Slot, Text),
    "plait_value_is_failure": (ctypes.c_bool, Slot),
    "plait_value_str": (ctypes.c_int, Slot, Text, ctypes.c_size_t),
    "plait_failure_check": (ctypes.c_bool, Handle, ctypes.c_void_p),
    "plait_failure_cancel_where": (Text, Handle),
    "plait_deferred_new": (Handle, Address, ctypes.c_void_p, ctypes.c_void_p,
                           Text),
    "plait_deferred_add_both": (Handle, Handle, ctypes.c_void_p,
                                ctypes.c_void_p),
    "plait_deferred_cancel": (None, Handle, Text),
    "plait_deferred_free": (None, Address, Text),
    "plait_fire": (ctypes.c_int, Address, Value, Text),
    "plait_promise_drop": (None, Address, Text),
    "plait_reactor_new": (Handle, Text),
    "plait_reactor_run": (ctypes.c_int, Handle, Text),
    "plait_reactor_stop": (ctypes.c_int, Handle),
    "plait_reactor_free": (None, Address),
    "plait_call_later": (Call, Handle, ctypes.c_double, Func, ctypes.c_void_p),
    "plait_call_is_active": (ctypes.c_bool, Call),
}


def load():
    plait = ctypes.CDLL(os.path.join(BUILD, "libplait.so"))
    for name, (result, *parameters) in PROTOTYPES.items():
        function = getattr(plait, name)
        function.restype, function.argtypes = result, parameters
    return plait


# A thread has used the library, and ends when the library is not there any more.
UNLOAD = '''
import _ctypes, ctypes, sys, threading

plait = ctypes.CDLL(sys.argv[1])
plait.plait_deferred_new.restype = ctypes.c_void_p
used, unloaded = threading.Event(), threading.Event()

def use():
    promise = ctypes.c_void_p()
    d = ctypes.c_void_p(plait.plait_deferred_new(
        ctypes.byref(promise), None, None, b"unload.py:1"))
    plait.plait_deferred_free(ctypes.byref(d), b"unload.py:2")
    plait.plait_promise_drop(ctypes.byref(promise), b"unload.py:3")

def use_and_wait():
    use()
    used.set()
    unloaded.wait()

use()
thread = threading.Thread(target=use_and_wait)
thread.start()
used.wait()
_ctypes.dlclose(plait._handle)
with open("/proc/self/maps") as f:
    assert "libplait" not in f.read()
unloaded.set()
thread.join()
'''


@unittest.skipIf(INSTRUMENTED, "Python has no instruments")
class Unloading(unittest.TestCase):
    def test_a_thread_that_has_used_the_library_ends_after_it_was_unloaded(self):
        done = subprocess.run(
            [sys.executable, "-c", UNLOAD, os.path.join(BUILD, "libplait.so")],
            text=True, check=False, timeout=60, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.assertEqual((done.returncode, done.stdout), (0, ""))


# Reads a deferred that was freed.
READ_FREED = '''
#include <plait/plait.h>

int main(void)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);
	const volatile char *freed = (const char *)d;

	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
	return freed[200] == 77;
}
'''


@unittest.skipIf(INSTRUMENTED, "the library has no instruments here")
class Watchers(unittest.TestCase):
    """Tools find mistakes with deferreds also with the library as it is shipped."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.source = os.path.join(directory.name, "read_freed.c")
        self.binary = os.path.join(directory.name, "read_freed")
        with open(self.source, "w", encoding="ascii") as f:
            f.write(READ_FREED)

    def run_it(self, *command):
        return subprocess.run(command, text=True, check=False, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def build(self, library, *flags):
        return self.run_it(*shlex.split(os.environ.get("CC", "cc")), *flags,
                           "-Iinclude", self.source, "-o", self.binary, f"-L{library}",
                           f"-Wl,-rpath,{os.path.abspath(library)}", "-lplait")

    def without_debug_info(self):
        """Old versions of Valgrind give up over what new compilers write there."""
        for name in "libplait.so", "libplait.so.0":
            self.run_it("objcopy", "-g", f"{BUILD}/{name}", f"{self.directory}/{name}")
        return self.directory

    def test_a_sanitizer_sees_a_deferred_that_was_freed(self):
        if self.build(BUILD, "-fsanitize=address").returncode != 0:
            self.skipTest("no AddressSanitizer")
        self.assertIn("heap-use-after-free", self.run_it(self.binary).stdout)

    @unittest.skipUnless(shutil.which("valgrind"), "no valgrind")
    def test_valgrind_sees_a_deferred_that_was_freed(self):
        self.assertEqual(self.build(self.without_debug_info()).stdout, "")
        said = self.run_it("valgrind", "-q", self.binary).stdout
        self.assertIn("Invalid read of size 1", said)
        self.assertIn("free'd", said)


@unittest.skipIf(INSTRUMENTED, "Python has no instruments")
class Bindings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plait = load()

    def address(self, name):
        return ctypes.addressof(ctypes.c_char.in_dll(self.plait, name))

    def new(self, bound=None):
        promise = Handle()
        canceller = bound and ctypes.cast(self.plait.plait_bound_canceller,
                                          ctypes.c_void_p)
        d = self.plait.plait_deferred_new(
            ctypes.byref(promise), canceller,
            bound and ctypes.addressof(bound), HERE)
        return Handle(d), promise

    def add(self, d, function):
        """The function gets the slot; whoever adds it keeps what it gets."""
        bound = Bound(Bound.Function(lambda value, arg: function(value)), None)
        self.plait.plait_deferred_add_both(
            d, ctypes.cast(self.plait.plait_bound_callback, ctypes.c_void_p),
            ctypes.addressof(bound))
        return bound

    def test_a_callback_changes_the_result_of_a_deferred(self):
        plait, results = self.plait, []
        d, promise = self.new()

        def double(value):
            value[0] = plait.plait_int(2 * plait.plait_value_int(value, HERE))

        kept = [self.add(d, double), self.add(
            d, lambda value: results.append(plait.plait_value_int(value, HERE)))]
        self.assertEqual(plait.plait_fire(ctypes.byref(promise),
                                          plait.plait_int(21), HERE), 0)
        self.assertEqual(results, [42])
        self.assertIsNone(promise.value)
        plait.plait_deferred_free(ctypes.byref(d), HERE)
        self.assertIsNone(d.value)
        self.assertEqual(len(kept), 2)

    def test_a_cancel_stops_the_work_and_says_where(self):
        plait, told = self.plait, []
        canceller = Bound(Bound.Function(
            lambda value, arg: told.append("stopped")), None)
        d, promise = self.new(canceller)

        def failed(value):
            self.assertTrue(plait.plait_value_is_failure(value))
            f = plait.plait_value_failure(value, HERE)
            told.append(plait.plait_failure_cancel_where(f))
            self.assertTrue(plait.plait_failure_check(
                f, self.address("plait_error_cancelled")))
            plait.plait_value_free(value)

        kept = self.add(d, failed)
        plait.plait_deferred_cancel(d, b"poem.py:12")
        self.assertEqual(told, ["stopped", b"poem.py:12"])
        self.assertEqual(plait.plait_fire(ctypes.byref(promise), Value(), HERE),
                         -errno.ECANCELED)
        plait.plait_deferred_free(ctypes.byref(d), HERE)
        self.assertIsNotNone(kept)

    def test_a_reactor_makes_a_call_and_stops(self):
        plait, told = self.plait, []
        r = Handle(plait.plait_reactor_new(None))

        def stop(arg):
            told.append(plait.plait_call_is_active(call))
            plait.plait_reactor_stop(r)

        kept = Func(stop)
        call = plait.plait_call_later(r, 0, kept, None)
        self.assertTrue(plait.plait_call_is_active(call))
        self.assertEqual(plait.plait_reactor_run(r, HERE), 0)
        self.assertEqual(told, [False])
        plait.plait_reactor_free(ctypes.byref(r))
        self.assertIsNone(r.value)

    def test_a_handle_that_is_null_is_taken(self):
        none = Handle()
        self.assertEqual(self.plait.plait_fire(ctypes.byref(none), Value(),
                                               HERE), -errno.EALREADY)
        self.plait.plait_deferred_free(ctypes.byref(none), HERE)


if __name__ == "__main__":
    unittests.main()
