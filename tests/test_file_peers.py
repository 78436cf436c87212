#!/usr/bin/env python3
"""A watch of a tree beside inotifywait, on the same random file operations.

Files and directories are made, written, renamed within the tree, out of it and
into it, linked, replaced and removed.  What plait tells must be what inotifywait
tells, where both tell the same things; and it must add up to the tree that is
there, also if the program is stopped until changes are lost.

With $PLAIT_SEEDS, as in `make check-long', there are 10,000 operations, and
otherwise 1,000.  The last line is "N passed, N failed".
"""

import collections
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True
import peers  # noqa: E402
import unittests  # noqa: E402
from peers import BACKENDS, TOP  # noqa: E402

DEADLINE = 60.0
OPERATIONS = 10000 if "PLAIT_SEEDS" in os.environ else 1000
QUEUE = "/proc/sys/fs/inotify/max_queued_events"


class Reader:
    """A program, and the lines that it prints."""

    def __init__(self, test, argv, first, env=()):
        self.popen = subprocess.Popen(argv, cwd=TOP, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True,
                                      env={**os.environ, **dict(env)})
        self.lines = []
        self.queue = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        test.addCleanup(self.end)
        while first not in self.line():
            pass

    def read(self):
        for line in self.popen.stdout:
            self.queue.put(line.rstrip("\n"))

    def line(self):
        line = self.queue.get(timeout=DEADLINE)
        self.lines.append(line)
        return line

    def read_to(self, text, timeout=DEADLINE):
        """Reads up to a line with that text.  False: it does not come."""
        end = time.monotonic() + timeout
        while True:
            try:
                line = self.queue.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                return False
            self.lines.append(line)
            if text in line:
                return True

    def end(self):
        if self.popen.returncode is not None:
            return
        self.popen.send_signal(signal.SIGCONT)
        self.popen.terminate()
        self.popen.wait(DEADLINE)
        self.popen.stdout.close()


class Operations:
    """Random operations on a tree, and what is there then."""

    def __init__(self, top, seed):
        self.tree, self.out = os.path.join(top, "tree"), os.path.join(top, "out")
        self.random = random.Random(seed)
        self.made = 0
        self.known = None
        self.found = collections.Counter()  # comes with a directory from outside
        os.mkdir(self.tree)
        os.mkdir(self.out)

    def directories(self):
        if self.known is None:
            self.known = [self.tree] + [os.path.join(d, name)
                                        for d, names, _ in os.walk(self.tree)
                                        for name in names
                                        if not os.path.islink(os.path.join(d, name))]
        return self.known

    def some_directory(self):
        return self.random.choice(self.directories())

    def some_file(self):
        d = self.some_directory()
        files = [e.path for e in os.scandir(d) if not e.is_dir(follow_symlinks=False)]
        return self.random.choice(files) if files else None

    def new_name(self, d=None):
        # Few names, for them to be used again.
        return os.path.join(d or self.some_directory(), f"n{self.random.randrange(40)}")

    def write(self, path, mode="w"):
        if not os.path.isdir(path):
            with open(path, mode, encoding="ascii") as f:
                f.write("x")

    def one(self):
        """Does one.  Returns "new" or "moved" if that has happened to a directory."""
        what = self.random.choices(
            ("put", "add", "remove", "rename", "replace", "link", "symlink", "away",
             "back", "chmod", "mkdir", "rmdir", "move directory", "directory away",
             "directory back"),
            (20, 10, 15, 12, 6, 5, 2, 4, 4, 5, 4, 3, 3, 1, 1))[0]
        try:
            return getattr(self, "do_" + what.replace(" ", "_"))()
        except (LookupError, TypeError, OSError):
            return None  # there is no such file, or it cannot be done to it
        finally:
            if "dir" in what:
                self.known = None

    def do_put(self):
        self.write(self.new_name())

    def do_add(self):
        self.write(self.some_file(), "a")

    def do_remove(self):
        os.unlink(self.some_file())

    def do_rename(self):
        os.rename(self.some_file(), self.new_name())

    def do_replace(self):
        """As an editor saves."""
        path = self.some_file()
        self.write(path + ".new")
        os.rename(path + ".new", path)

    def do_link(self):
        os.link(self.some_file(), self.new_name())

    def do_symlink(self):
        os.symlink("n1", self.new_name())

    def do_away(self):
        path = self.some_file()
        os.rename(path, os.path.join(self.out, os.path.basename(path)))

    def do_back(self):
        files = [e.path for e in os.scandir(self.out) if not e.is_dir(follow_symlinks=False)]
        os.rename(self.random.choice(files), self.new_name())

    def do_chmod(self):
        os.chmod(self.some_file(), self.random.choice((0o600, 0o644)))

    def do_mkdir(self):
        if len(self.directories()) < 40:
            os.mkdir(self.new_name())
            return "new"
        return None

    def do_rmdir(self):
        os.rmdir(self.random.choice(self.directories()[1:]))

    def do_move_directory(self):
        os.rename(self.random.choice(self.directories()[1:]), self.new_name())
        return "moved"

    def do_directory_away(self):
        self.made += 1
        os.rename(self.random.choice(self.directories()[1:]),
                  os.path.join(self.out, f"d{self.made}"))
        return "moved"

    def do_directory_back(self):
        directories = [e.path for e in os.scandir(self.out) if e.is_dir(follow_symlinks=False)]
        to = self.new_name()
        os.rename(self.random.choice(directories), to)
        for d, names, files in os.walk(to):
            self.found.update(os.path.join(d, name) for name in names + files)
        return "moved"

    def paths(self):
        return {os.path.join(d, n) + ("/" if os.path.isdir(p := os.path.join(d, n))
                                      and not os.path.islink(p) else "")
                for d, names, files in os.walk(self.tree) for n in names + files}


def picture(lines):
    """What is there, as plait's lines say."""
    is_there = set()

    def forget(path):
        for p in [p for p in is_there if p.rstrip("/") == path or p.startswith(path + "/")]:
            is_there.remove(p)

    for line in lines:
        what, _, rest = line.partition(" ")
        path, _, old = rest.partition("\t")
        if what in ("created", "existed"):
            forget(path.rstrip("/"))
            is_there.add(path)
        elif what == "removed":
            forget(path.rstrip("/"))
        elif what == "renamed":
            forget(path.rstrip("/"))
            old, new = old.rstrip("/"), path.rstrip("/")
            moved = [p for p in is_there if p.rstrip("/") == old or p.startswith(old + "/")]
            is_there.difference_update(moved)
            is_there.update(new + p[len(old):] for p in moved)
        elif what == "overflow":
            is_there.clear()
    return is_there


# A name comes or goes, a file is changed; of the last, the system tells of
# several at once as one, so how many there are depends on who is quicker.  Only
# inotifywait tells the attributes of a directory that was replaced.
def told_by_plait(lines):
    names, changes = collections.Counter(), set()
    for line in lines:
        what, _, rest = line.partition(" ")
        path, _, old = (p.rstrip("/") for p in rest.partition("\t"))
        if what in ("created", "existed", "renamed"):
            names["+", path] += 1
        if what in ("removed", "renamed"):
            names["-", old or path] += 1
        if what in ("changed", "written") or (what == "attributes" and rest[-1] != "/"):
            changes.add((what, path))
    return names, changes


def told_by_inotifywait(lines):
    names, changes = collections.Counter(), set()
    for line in lines:
        events, _, path = line.partition(" ")
        path = path.rstrip("/")
        for event in set(events.split(",")):
            if event == "ATTRIB" and "ISDIR" in events:
                continue
            if event in ("CREATE", "MOVED_TO"):
                names["+", path] += 1
            elif event in ("DELETE", "MOVED_FROM"):
                names["-", path] += 1
            elif event in ("MODIFY", "CLOSE_WRITE", "ATTRIB"):
                changes.add(({"MODIFY": "changed", "CLOSE_WRITE": "written",
                              "ATTRIB": "attributes"}[event], path))
    return names, changes


class Beside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.watcher = peers.build(cls, "tests/files/watcher.c")

    def operations(self, seed):
        top = tempfile.TemporaryDirectory()
        self.addCleanup(top.cleanup)
        return Operations(top.name, seed)

    def watch(self, tree, backend="epoll"):
        return Reader(self, [self.watcher, tree], "ready",
                      {"PLAIT_REACTOR": backend})

    def settle(self, ops, *readers):
        """Until each has told of all so far.  Both handle events in their order, so
        both watch new directories by then."""
        for reader in readers:
            self.wait_for(ops, reader, os.path.join(ops.tree, "settle"))

    def wait_for(self, ops, reader, path):
        """Writes the file until that is told: while the queue is full it is not."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            ops.made += 1
            ops.write(f"{path}-{ops.made}")
            os.unlink(f"{path}-{ops.made}")
            if reader.read_to(f"{path}-{ops.made}", 0.2) and \
                    reader.read_to(f"{path}-{ops.made}", 0.2):
                return
        raise AssertionError(f"nothing is told: {reader.lines[-20:]}")

    @unittest.skipUnless(os.environ.get("PLAIT_INOTIFYWAIT"), "make check-inotifywait")
    def test_the_same_is_told_as_by_inotifywait(self):
        for seed, backend in enumerate(BACKENDS):
            with self.subTest(backend=backend):
                self.compare(self.operations(seed), backend)

    def inotifywait(self, ops):
        return Reader(self, ["inotifywait", "-m", "-r", "--format", "%e %w%f",
                             ops.tree], "Watches established")

    def compare(self, ops, backend):
        """It keeps old names of what is in a directory that has moved, so it is
        begun anew then."""
        plait, other = self.watch(ops.tree, backend), self.inotifywait(ops)
        lines = []
        for _ in range(OPERATIONS):
            happened = ops.one()
            if happened == "new":
                self.settle(ops, plait, other)
            elif happened == "moved":
                self.settle(ops, plait, other)
                other.end()
                lines += other.lines
                other = self.inotifywait(ops)
        self.settle(ops, plait, other)
        names, changes = told_by_plait(plait.lines)
        theirs, their_changes = told_by_inotifywait(lines + other.lines)
        names.subtract({("+", path): n for path, n in ops.found.items()})
        for what in (names, theirs):
            for key in [k for k in what if what[k] == 0 or "/settle-" in k[1]]:
                del what[key]
        self.assertEqual((names - theirs, theirs - names),
                         (collections.Counter(), collections.Counter()))
        self.assertEqual({c for c in changes ^ their_changes if "/settle-" not in c[1]},
                         set())
        self.adds_up(ops, plait)

    def adds_up(self, ops, plait):
        self.settle(ops, plait)
        plait.read_to("no such line", 0.5)
        self.assertEqual(picture(plait.lines), ops.paths())

    def test_it_adds_up_to_what_is_there(self):
        for seed, backend in enumerate(BACKENDS):
            with self.subTest(backend=backend):
                ops = self.operations(seed)
                plait = self.watch(ops.tree, backend)
                for _ in range(OPERATIONS):
                    ops.one()
                self.adds_up(ops, plait)

    def test_it_adds_up_when_changes_were_lost(self):
        with open(QUEUE, encoding="ascii") as f:
            most = int(f.read())
        ops = self.operations(3)
        plait = self.watch(ops.tree)
        for _ in range(3):
            plait.popen.send_signal(signal.SIGSTOP)
            os.waitpid(plait.popen.pid, os.WUNTRACED)
            for _ in range(most // 2):
                ops.write(os.path.join(ops.tree, "lost"))
                os.unlink(os.path.join(ops.tree, "lost"))
            for _ in range(OPERATIONS // 10):
                ops.one()
            plait.popen.send_signal(signal.SIGCONT)
            self.adds_up(ops, plait)
        self.assertIn(f"overflow {ops.tree}/", plait.lines)


unittests.main()
