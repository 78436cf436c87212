"""Runs a program of bench/ with its clients, and measures or counts.

A Pair is a server with its load, both started and connected.  Its processor
time is read from the clock of the process, so nothing in the server measures.
What is counted is the difference of two runs: starting up cancels out.
"""

import collections
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("O", "build")
BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                     "bench")
PATIENCE = 120  # seconds
AT_ONCE = 8  # connections that come and go
FEW = 1000  # connections or timers that a quick run has
IDLE = 3  # seconds: then a connection has no more than it must
MANY = 10000  # connections, if there are so many descriptors


def path_of(name):
    return os.path.join(BUILD, "bench", name)


def has(command):
    return shutil.which(command) is not None


class Program:
    """A library, or none, with the programs that do the works on it.

    works says what the program calls each of them, where it is not the same.
    """

    countable = True  # whether callgrind can

    def __init__(self, name, file, works, package=None, called=()):
        self.name, self.file, self.package = name, file, package
        self.works = {w: w for w in works.split()} | dict(called)

    def command(self, case):
        """What does the case; its last word will be a number."""
        file = self.file if case.load else f"{self.file}_alone"
        return [path_of(file), self.works[case.work]]

    def is_there(self):
        return os.path.exists(path_of(self.file))


class Twisted(Program):
    """The program for a Python that has Twisted."""

    countable = False

    def __init__(self, *words):
        super().__init__(*words)
        self.python = next((p for p in (sys.executable, "/usr/bin/python3")
                            if subprocess.run([p, "-c", "import twisted"],
                                              stderr=subprocess.DEVNULL,
                                              check=False).returncode == 0), None)

    def command(self, case):
        return [self.python, os.path.join(BENCH, self.file), case.work]

    def is_there(self):
        return self.python is not None


SERVERS = "echo lines poem proxy chat dial udp"
TIMERS = "timer-cancel timer-reset timer-churn timer-fire"
PROGRAMS = [
    Program("by hand", "raw", f"{SERVERS} {TIMERS} thread job spawn deferred",
            called={"lines-each": "lines", "thread": "thread-node",
                    "task": "thread-node"}),
    Program("plait", "plait", f"{SERVERS} {TIMERS} job spawn deferred",
            called={"lines-each": "lines", "thread": "thread-node",
                    "task": "thread"}),
    Program("libuv", "uv", f"{SERVERS} {TIMERS} spawn lines-each", "libuv1-dev",
            called={"thread": "thread-node"}),
    Program("libev", "ev", f"{SERVERS} {TIMERS} lines-each", "libev-dev",
            called={"thread": "thread-node"}),
    Program("libevent", "event", f"{SERVERS} {TIMERS} lines-each",
            "libevent-dev", called={"thread": "thread-node"}),
    Program("bufferevent", "bufferevent", "echo lines poem proxy chat dial",
            "libevent-dev",
            called={"lines-each": "lines"}),
    Twisted("Twisted", "twisted_poetry.py", "poem proxy", "python3-twisted"),
    Program("TLS by hand", "tls_raw", "tls", "libssl-dev"),
    Program("plait, TLS", "tls_plait", "tls", "libssl-dev"),
]


def programs():
    """Those that are there, the floor first, and those that are not."""
    there = [p for p in PROGRAMS if p.is_there()]
    return there, [p for p in PROGRAMS if p not in there]


# A picture of all has no room on a page.
NOT_PICTURED = {"ping-4k-64", "ping-4k-512", "timer-cancel-100000",
                "timer-reset-100000", "timer-churn-100000", "timer-fire-100000"}


class Case:
    """A work and its load.

    few is how many rounds are enough to count; 0: it takes too long.
    """

    least = 1000  # rounds of a program that is alone

    def __init__(self, name, about, work, load, number, few, countable=True,
                 unit="ns"):
        self.name, self.about = name, about
        self.work, self.load, self.number = work, load, number
        self.few, self.countable = few, countable  # whether callgrind can
        self.unit = unit
        self.pictured = unit == "ns" and name not in NOT_PICTURED

    def with_least(self, least):
        self.least = least
        return self

    def with_number(self, number):
        return Case(self.name, self.about, self.work, self.load, number,
                    self.few, self.countable, self.unit)

    def is_done_by(self, program):
        return self.work in program.works


def most_connections():
    """A few descriptors are for other things."""
    return min(MANY, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 50)


def servers():
    for size in "64", "4k":
        text = "64 bytes" if size == "64" else "4 KiB"
        for n in 1, 64, 512, most_connections():
            yield Case(f"ping-{size}-{n}", f"{text} there and back, {n:,} "
                       f"connection{'s' if n > 1 else ''}", "echo",
                       f"ping-{size}", n, 200 // n)
    yield Case("lines", "a line and its answer; 32 lines a read, 16 connections",
               "lines", "lines", 16, 10)
    yield Case("lines-each", "the same, where each answer is written alone",
               "lines-each", "lines", 16, 10)
    yield Case("bulk", "1 MiB there and back, of which 256 KiB at most are under "
               "way", "echo", "bulk", 1, 20, False)
    yield Case("poem", "connect, get a poem of 3,000 bytes, close", "poem",
               "poem", AT_ONCE, 25)
    yield Case("connect", "connect, 64 bytes there and back, close", "echo",
               "connect", AT_ONCE, 25)
    yield Case("proxy-fast", "a poem through the proxy, from a fast server",
               "proxy", "proxy-fast", AT_ONCE, 10)
    yield Case("proxy-slow", "the same, from a server that sends ten pieces",
               "proxy", "proxy-slow", AT_ONCE, 10)
    yield Case("chat", "a line to one of 64 members", "chat", "chat", 64, 10)
    yield Case("dial", "a client: connect, 64 bytes there and back, close",
               "dial", "dial", 0, 100)
    for n in 1, 32, 1000:
        yield Case(f"udp-{n}", "a datagram of 64 bytes there and back" +
                   (f", {n:,} under way" if n > 1 else ""), "udp", "udp", n,
                   1600 // n)


def servers_with_tls():
    """OpenSSL's work is the same in each, and most of it."""
    yield Case("tls-handshake", "TLS: connect, 64 bytes there and back, close",
               "tls", "tls-handshake", AT_ONCE, 10, countable=False)
    for n in 1, 64:
        yield Case(f"tls-ping-64-{n}", f"TLS: 64 bytes there and back, {n} "
                   f"connection{'s' if n > 1 else ''}", "tls", "tls-ping-64", n,
                   640 // n)
    yield Case("tls-bulk", "TLS: 16 KiB there and back, 16 connections", "tls",
               "tls-bulk", 16, 10)


def memory():
    most = most_connections()
    yield Case("idle", f"memory of a connection that has said something, "
               f"{most:,} of them", "echo", "ping-64", most, 1, unit="bytes")
    yield Case("tls-idle", f"the same with TLS, {FEW:,} of them", "tls",
               "tls-ping-64", FEW, 1, unit="bytes")


def without_network():
    yield Case("thread", "a call from another thread, in memory of the caller",
               "thread", None, 0, 20000)
    yield Case("task", "a call from another thread, plait_call_from_thread()",
               "task", None, 0, 20000)
    yield Case("job-1", "a job of nothing in a thread, one at a time", "job", None,
               1, 20000)
    yield Case("job-1000", "a job of nothing in a thread, 1,000 at a time", "job",
               None, 1000, 20000)
    for size in 1, 1024:
        yield Case(f"spawn-{size}", "the loop stands still for a child; "
                   f"{size:,} MiB in use", "spawn", None, size, 0,
                   False).with_least(10)
    for what, about in (("cancel", "stop a timer"), ("reset", "put a timer off"),
                        ("churn", "stop a timer, set it anew"),
                        ("fire", "a timer becomes due and runs")):
        for n in 1000, 100000, 1000000:
            yield Case(f"timer-{what}-{n}", f"{about}; {n:,} timers",
                       f"timer-{what}", None, n, 20000 if n == 1000 else 0,
                       what in ("reset", "churn"))
    for n in 1, 10000:
        yield Case(f"deferred-{n}", f"a deferred with two callbacks, {n:,} at once",
                   "deferred", None, n, 10000)


def all_cases():
    yield from servers()
    yield from servers_with_tls()
    yield from without_network()
    yield from memory()


def cases(names, quick):
    """Those whose names begin with one of these; no name: all, or the quick."""
    if names:
        return [c for c in all_cases()
                if any(c.name.startswith(n) for n in names)]
    return [c for c in all_cases() if c.number <= FEW or not quick]


def cpus():
    """The processor of the servers, and that of the load: two, if there are."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


def start(command, cpu, **more):
    """A child that runs on this processor only."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True, bufsize=1,
                                **more)
    finally:
        os.sched_setaffinity(0, mine)


def processor_time(pid):
    """Seconds that all threads of the process have run, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | 2)


class Broken(Exception):
    """A program of the benchmark has ended, or says something else."""


class Child:
    def __init__(self, command, cpu, **more):
        self.command = command
        self.process = start(command, cpu, **more)
        try:
            self.port, self.pid = map(int, self.told().split())
        except BaseException:
            self.process.kill()
            raise

    def tell(self, number):
        try:
            self.process.stdin.write(f"{number}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def told(self):
        line = self.process.stdout.readline()
        if not line:
            raise Broken(" ".join(self.command))
        return line.strip()

    def end(self):
        """A server ends by the signal, what reads numbers by their end."""
        try:
            self.process.stdin.close()
            if self.port:
                os.kill(self.pid, signal.SIGTERM)
            self.process.wait(PATIENCE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Pair:
    """A server and its load.  run(n) does n rounds, and returns operations."""

    nanoseconds = None  # the server does not measure itself
    least = 1  # rounds

    def __init__(self, server, load, number, under=()):
        mine, other = cpus()
        self.load = self.server = None
        try:
            client = "tls_load" if load.startswith("tls-") else "load"
            self.load = Child([path_of(client), load, str(number)], other)
            port = str(self.load.port)
            self.server = Child([*under, *server, port], mine)
            self.load.tell(self.server.port)
            if self.load.told() != "":
                raise Broken("load")
        except BaseException:
            self.end()
            raise

    def run(self, n):
        self.load.tell(n)
        return int(self.load.told())

    def end(self):
        for child in self.server, self.load:
            if child is not None:
                child.end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Alone:
    """A program without a network: it is told how often, and says how long."""

    load = None

    def __init__(self, server, number, least, under=()):
        self.least = least
        self.server = Child([*under, *server, str(number)], cpus()[0])

    def run(self, n):
        self.server.tell(n)
        operations, self.nanoseconds = map(int, self.server.told().split())
        return operations

    def end(self):
        self.server.end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def begin(program, case, under=()):
    """The program with its load, if the case has one."""
    if case.load is None:
        return Alone(program.command(case), case.number, case.least, under)
    return Pair(program.command(case), case.load, case.number, under)


class Slice(collections.namedtuple("Slice", "cost load disturbed")):
    """Nanoseconds for one operation; the load's share of its processor."""


class Sample:
    """Clocks and counters, before and after a slice."""

    def __init__(self, pair):
        self.elapsed = time.monotonic()
        self.server = processor_time(pair.server.pid)
        self.load = processor_time(pair.load.pid) if pair.load else 0
        self.idle, self.steal = processor_rest(cpus()[0])
        self.preempted = preemptions(pair.server.pid)

    def until(self, other):
        return {name: getattr(other, name) - value
                for name, value in vars(self).items()}


def processor_rest(cpu):
    """Seconds in which the processor was idle, and was not given to us."""
    with open("/proc/stat", encoding="ascii") as f:
        for line in f:
            words = line.split()
            if words[0] == f"cpu{cpu}":
                ticks = os.sysconf("SC_CLK_TCK")
                return ((int(words[4]) + int(words[5])) / ticks,
                        int(words[8]) / ticks)
    return 0, 0


def preemptions(pid):
    """How often its threads had to make room for somebody else."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as f:
            total += int(re.search(r"^nonvoluntary_ctxt_switches:\s*(\d+)",
                                   f.read(), re.M).group(1))
    return total


# What may happen in a slice that counts: the processor's clock of idle time
# ticks, and a kernel has work of its own now and then.
TICK = 0.02
OTHERS = 0.1  # of the elapsed time, on the server's processor
PREEMPTIONS = 50  # a second


def measure(pair, rounds):
    before = Sample(pair)
    operations = pair.run(rounds)
    d = before.until(Sample(pair))
    elapsed = d["elapsed"]
    others = elapsed - d["idle"] - d["server"]
    return Slice(cost=(pair.nanoseconds or d["server"] * 1e9) / operations,
                 load=d["load"] / elapsed,
                 disturbed=others > OTHERS * elapsed + TICK or
                 d["preempted"] > PREEMPTIONS * elapsed + 1 or
                 d["steal"] > TICK)


def memory_of(program, case):
    """Bytes of the process that are its own, when all have said something."""
    with begin(program, case) as pair:
        pair.run(1)
        time.sleep(IDLE)
        with open(f"/proc/{pair.server.pid}/smaps_rollup", encoding="ascii") as f:
            return 1024 * int(re.search(r"^Anonymous:\s*(\d+)", f.read(),
                                        re.M).group(1))


def bytes_each(program, case):
    """What each further connection takes, beyond a tenth of them."""
    few = case.number // 10
    return Slice(cost=(memory_of(program, case) -
                       memory_of(program, case.with_number(few))) /
                 (case.number - few), load=0, disturbed=False)


def quartiles(values):
    """The first, the median, the third."""
    if len(values) < 2:
        return tuple(values) * 3
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def run_apart(pair, n, apart):
    """So many rounds, each with that many seconds after it; 0: at once."""
    if not apart:
        return pair.run(n)
    operations = 0
    for _ in range(n):
        operations += pair.run(1)
        time.sleep(apart)
    return operations


def counted(program, case, n, under, read, apart):
    """What read() finds in the file that UNDER has written, after n rounds."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "count")
        with begin(program, case, [a.replace("FILE", path) for a in under]) as p:
            operations = run_apart(p, n, apart)
        return read(path), operations


def difference(program, case, under, read, apart):
    """Each count of some further rounds, for one operation."""
    few, operations = counted(program, case, case.few, under, read, apart)
    many, more = counted(program, case, 2 * case.few, under, read, apart)
    return {name: (many.get(name, 0) - few.get(name, 0)) / (more - operations)
            for name in {*few, *many}}


def read_calls(path):
    """The table of `strace -c': system call -> count."""
    calls = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            words = line.split()
            if len(words) >= 5 and re.fullmatch(r"[\d.]+", words[0]) and \
                    words[-1] != "total":
                calls[words[-1]] = int(words[3])
    return calls


def system_calls(program, case, apart=0):
    return difference(program, case, ["strace", "-f", "-c", "-o", "FILE"],
                      read_calls, apart)


def read_functions(path):
    """What callgrind has counted: function -> instructions of its own."""
    functions = collections.Counter()
    name, is_call = None, False
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith("fn="):
                name = re.sub(r"'\d+$", "", line[3:].strip())
            elif line.startswith("calls="):
                is_call = True
            elif re.match(r"[\d+*-]", line):
                if not is_call:
                    functions[name] += int(line.split()[1])
                is_call = False
    return functions


def instructions(program, case, apart=0):
    """Function -> instructions of its own in user space, for one operation."""
    return difference(program, case,
                      ["valgrind", "-q", "--log-file=/dev/null", "--tool=callgrind",
                       "--compress-strings=no", "--compress-pos=no",
                       "--callgrind-out-file=FILE"], read_functions, apart)
