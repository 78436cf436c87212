"""A world of its own for names: namespaces in which nothing but loopback is,
an /etc that tests may change, and name servers on port 53.

    127.0.0.1   unbound, which asks the next one
    127.0.0.2   dnsmasq, which asks unbound
    127.0.0.3   knot, which has the zones of zones.py
    127.0.0.4   refuses every question
    127.0.0.5   fails at every question
    127.0.0.6   never answers
    127.0.0.7   has no server: the kernel says so
    127.0.0.8   FORMERR to EDNS, else asks unbound
    127.0.0.9   NOTIMP to EDNS, else asks unbound
    127.0.0.10  nsd, which has the same zones
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import zones

UNBOUND, DNSMASQ, KNOT, REFUSES, FAILS, SILENT, CLOSED, FORMERR, NOTIMP, NSD = (
    "127.0.0.%d" % i for i in range(1, 11))
HERE = os.path.dirname(os.path.abspath(__file__))
NEEDED = ("unshare", "mount", "knotd", "nsd", "unbound", "dnsmasq", "dig", "getent")
NAMESPACE = "/proc/self/ns/mnt"
DEADLINE = 20.0  # seconds; far more than any server takes to start
INSIDE = "PLAIT_NAMES_INSIDE"    # the directory of memory
OUTSIDE = "PLAIT_NAMES_OUTSIDE"  # the namespace that nothing may be mounted in

os.environ["PATH"] += ":/usr/sbin:/sbin"


def why_not():
    """None, or why this system has no such world."""
    for command in NEEDED:
        if shutil.which(command) is None:
            return "there is no %s" % command
    if subprocess.run(unshare() + ["true"], capture_output=True,
                      check=False).returncode:
        return "the system refuses namespaces"
    return None


def unshare():
    root = [] if os.geteuid() == 0 else ["-r"]
    return ["unshare", *root, "-n", "-m", "--propagation", "private",
            "--kill-child", "-f"]


def enter():
    """Runs this program again, inside, and ends with its status.  Inside it
    returns a directory of memory, which goes with the namespace: so nobody has
    to remove a tree in which something else may be mounted."""
    if INSIDE in os.environ:
        must_be_inside()
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        bring_up_loopback()
        where = os.environ[INSIDE]
        mount("-t", "tmpfs", "names", where)
        return where
    why = why_not()
    if why:
        print("skipped: " + why)
        sys.exit(0)
    where = tempfile.mkdtemp(prefix="plait-names-")
    try:
        status = subprocess.run(unshare() + [sys.executable] + sys.argv,
                                check=False,
                                env={**os.environ, INSIDE: where,
                                     OUTSIDE: os.readlink(NAMESPACE)}).returncode
    finally:
        os.rmdir(where)
    sys.exit(status)


def must_be_inside():
    """The /etc of the system is no toy."""
    outside = os.environ.get(OUTSIDE, "")
    if not outside.startswith("mnt:[") or outside == os.readlink(NAMESPACE):
        sys.exit("this is not a namespace that enter() has made")


def shared_mounts():
    """Where a mount would be seen outside: the namespaces of mounts that are
    peers tell each other of what is mounted below them."""
    with open("/proc/self/mountinfo", encoding="utf8",
              errors="surrogateescape") as f:
        mounts = [line.split(" ") for line in f]
    return [m[4] for m in mounts
            if any(word.startswith("shared:") for word in m[6:m.index("-")])]


def mount(*args):
    """The only place where something is mounted."""
    must_be_inside()
    shared = shared_mounts()
    if shared:
        sys.exit("a mount here would be seen outside: %s" % " ".join(shared))
    subprocess.run(["mount", *args], check=True)


def bring_up_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        name = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(s, 0x8913, name), 16)[0]
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", flags | 1))


class Etc:
    """A directory that is /etc in this namespace: files that say what names
    mean, and copies of the few others that programs here want."""

    COPIED = ("passwd", "group", "ld.so.cache", "localtime", "services",
              "protocols")

    def __init__(self, where):
        must_be_inside()
        self.path = os.path.join(where, "etc")
        os.mkdir(self.path)
        for name in self.COPIED:
            if os.path.exists("/etc/" + name):
                shutil.copy("/etc/" + name, self.path)
        self.write("hosts", "127.0.0.1 localhost\n::1 localhost\n")
        self.write("nsswitch.conf", "hosts: files dns\n")
        mount("--bind", self.path, "/etc")

    def write(self, name, text):
        """Puts a new file in the place of the old one, in one step."""
        new = os.path.join(self.path, name + ".new")
        with open(new, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.rename(new, os.path.join(self.path, name))


def resolv_conf(servers, options="", search=""):
    lines = ["nameserver " + s for s in servers]
    if search:
        lines.append("search " + search)
    if options:
        lines.append("options " + options)
    return "\n".join(lines) + "\n"


def zone_files(where):
    """Writes the zones, and gives their names and files."""
    for name, lines in zones.zones().items():
        file = os.path.join(where, "zone-" + name)
        with open(file, "w", encoding="ascii") as f:
            f.write(zones.zone_file(lines))
        yield name, file


def knot(where):
    text = ["server:", "  rundir: " + where, "  listen: %s@53" % KNOT,
            "  udp-workers: 1", "  tcp-workers: 1", "  background-workers: 1",
            "database:", "  storage: " + where,
            "template:", "  - id: default", "    storage: " + where,
            "    zonefile-sync: -1", "    journal-content: none",
            "    semantic-checks: off", "zone:"]
    for name, file in zone_files(where):
        text += ["  - domain: \"%s\"" % name, "    file: " + file]
    return ["knotd", "-c", conf(where, "knot.conf", text)]


def nsd(where):
    text = ["server:", "  ip-address: " + NSD, "  do-ip6: no",
            "  server-count: 1", "  username: \"\"", "  chroot: \"\"",
            "  database: \"\"", "  pidfile: \"\"", "  zonesdir: " + where,
            "  zonelistfile: " + os.path.join(where, "nsd.list"),
            "  xfrdfile: " + os.path.join(where, "nsd.xfrd"),
            "  xfrdir: " + where,
            "remote-control:", "  control-enable: no"]
    for name, file in zone_files(where):
        text += ["zone:", "  name: \"%s\"" % name, "  zonefile: " + file]
    return ["nsd", "-d", "-c", conf(where, "nsd.conf", text)]


def unbound(where):
    text = ["server:", "  interface: " + UNBOUND, "  do-daemonize: no",
            "  username: \"\"", "  chroot: \"\"", "  directory: " + where,
            "  pidfile: \"\"", "  use-syslog: no", "  do-ip6: no",
            "  module-config: \"iterator\"", "  num-threads: 1",
            "  do-not-query-localhost: no", "  unblock-lan-zones: yes",
            "  minimal-responses: yes", "  infra-host-ttl: 1",
            "  local-zone: \"test.\" nodefault", "  num-queries-per-thread: 4096",
            "  outgoing-range: 512", "  incoming-num-tcp: 200",
            "  max-query-restarts: 20",
            "remote-control:", "  control-enable: no",
            "stub-zone:", "  name: \".\"", "  stub-addr: " + KNOT]
    return ["unbound", "-c", conf(where, "unbound.conf", text)]


def dnsmasq(where):
    text = ["listen-address=" + DNSMASQ, "bind-interfaces", "no-resolv",
            "no-hosts", "server=" + UNBOUND, "user=root", "group=root",
            "pid-file=", "dns-forward-max=1000", "max-tcp-connections=100",
            "log-facility=-"]
    return ["dnsmasq", "-k", "-C", conf(where, "dnsmasq.conf", text)]


def conf(where, name, lines):
    path = os.path.join(where, name)
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")
    return path


def odd(where):
    return [sys.executable, os.path.join(HERE, "odd_servers.py")]


class Servers:
    """All servers, each answering.  They end with the block."""

    def __init__(self, where):
        self.processes = []
        self.where = where

    def __enter__(self):
        try:
            self.start(knot, KNOT)
            self.start(nsd, NSD)
            self.start(unbound, UNBOUND)
            self.start(dnsmasq, DNSMASQ)
            self.start(odd, REFUSES, FORMERR)
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, command, *addresses):
        log = os.path.join(self.where, command.__name__ + ".log")
        with open(log, "wb") as f:
            p = subprocess.Popen(command(self.where), stdin=subprocess.DEVNULL,
                                 stdout=f, stderr=f)
        self.processes.append(p)
        for address in addresses:
            end = time.monotonic() + DEADLINE
            while not answers(address):
                if p.poll() is not None or time.monotonic() > end:
                    with open(log, encoding="utf8", errors="replace") as f:
                        raise RuntimeError("%s does not answer:\n%s"
                                           % (command.__name__, f.read()))

    def __exit__(self, *_):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


def answers(address):
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0\2h0\7example\4test\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        s.connect((address, 53))
        try:
            s.send(question)
            return len(s.recv(512)) >= 12
        except ConnectionRefusedError:
            time.sleep(0.05)
            return False
        except TimeoutError:
            return False
