"""What is asked, under which files: drawn from a seed, out of the zones."""

import random
import re

import zones
from world import (UNBOUND, DNSMASQ, KNOT, REFUSES, FAILS, SILENT, CLOSED,
                   FORMERR, NOTIMP, NSD, resolv_conf)

TWO = "corp.test example.test"
FOUR = "sub.example.test other.test corp.test example.test"
DECODED = ["A", "AAAA", "CNAME", "NS", "SOA", "PTR", "MX", "TXT", "SRV"]
TYPES = DECODED + ["TYPE65280", "TYPE65281", "TYPE257"]

# Servers, options of resolv.conf, its search list.
FILES = [
    ((UNBOUND,), options, search)
    for options, search in [
        ("", TWO), ("", ""), ("", "example.test"), ("", FOUR),
        ("ndots:0", TWO), ("ndots:2", TWO), ("ndots:3", FOUR),
        ("ndots:15", TWO), ("edns0", TWO), ("use-vc", TWO),
        ("no-aaaa", TWO), ("no-aaaa single-request", FOUR),
        ("single-request", TWO), ("single-request-reopen", TWO),
        ("attempts:1", TWO), ("attempts:5 timeout:3", TWO), ("timeout:2", FOUR),
        ("trust-ad edns0", TWO), ("inet6 what:1 debug", TWO),
        ("edns0 use-vc ndots:2", FOUR),
        ("single-request edns0 ndots:3", TWO),
        ("", "a.test b.test c.test d.test e.test f.test g.test example.test"),
    ]
] + [
    ((DNSMASQ,), "", TWO), ((DNSMASQ,), "edns0", FOUR),
    ((DNSMASQ,), "use-vc", TWO), ((DNSMASQ,), "single-request ndots:2", TWO),
    ((KNOT,), "", TWO), ((KNOT,), "edns0", FOUR),
    ((NSD,), "", TWO), ((NSD,), "edns0 use-vc", FOUR),
    ((UNBOUND, DNSMASQ), "rotate", TWO),
    ((UNBOUND, DNSMASQ, KNOT), "rotate edns0 attempts:1", TWO),
    ((DNSMASQ, UNBOUND), "rotate no-aaaa", FOUR),
    ((FORMERR,), "", TWO), ((NOTIMP,), "", TWO),
    ((FORMERR, UNBOUND), "edns0", TWO), ((NOTIMP, DNSMASQ), "edns0", TWO),
    ((REFUSES, UNBOUND), "", TWO), ((FAILS, DNSMASQ), "", TWO),
    ((CLOSED, UNBOUND), "", TWO), ((CLOSED, REFUSES, DNSMASQ), "", TWO),
    ((REFUSES, FAILS, UNBOUND), "rotate", TWO),
    ((CLOSED, UNBOUND), "use-vc", TWO),
]
# Few questions, as each waits: for the oracles, in vain.
SLOW = [
    ((SILENT, UNBOUND), "timeout:1 attempts:2", TWO),
    ((UNBOUND, SILENT), "timeout:1 rotate", TWO),
    ((SILENT,), "timeout:1 attempts:1", ""),
    ((REFUSES,), "", TWO), ((FAILS,), "", TWO), ((CLOSED,), "", TWO),
    ((FAILS, SILENT), "timeout:1 attempts:1", ""),
]
HOSTS = """\
127.0.0.1 localhost
::1 localhost ip6-localhost
192.0.2.240 filed filed.example.test Alias-Of-Filed
2001:db8::f0 filed6 filed.example.test
192.0.2.241 h0.example.test	tabbed   # a comment
not.an.address wrong
192.0.2.242
192.0.2.243 h2
"""


class Conditions:
    """The files under which a number of questions is asked."""

    def __init__(self, seed, spec, slow):
        self.servers, self.options, self.search = spec
        self.resolv_conf = resolv_conf(self.servers, self.options, self.search)
        self.slow = slow
        self.random = random.Random(seed)
        # The servers that answer.
        self.good = [s for s in self.servers
                     if s in (UNBOUND, DNSMASQ, KNOT, NSD, FORMERR, NOTIMP)]

    def has(self, option):
        return option in self.options.split()

    def ndots(self):
        found = re.search(r"ndots:(\d+)", self.options)
        return int(found.group(1)) if found else 1

    def domains(self):
        return self.search.split()

    def __str__(self):
        return self.resolv_conf.replace("\n", "; ")


def all_conditions(seed):
    specs = [(s, False) for s in FILES] + [(s, True) for s in SLOW]
    return [Conditions(1000 * seed + i, *spec) for i, spec in enumerate(specs)]


def owners():
    """All names of the zones, whole, and the types that each has."""
    found = {}
    for zone, lines in zones.zones().items():
        for line in lines:
            owner, *rest = line.split(" ")
            if owner.endswith("."):
                owner = owner[:-1]
            elif owner == "@":
                owner = zone
            elif zone != ".":
                owner += "." + zone
            kind = rest[1] if rest[0].isdigit() else rest[0]
            found.setdefault(owner, set()).add(kind)
    del found["."]
    return {owner: sorted(kinds) for owner, kinds in sorted(found.items())}


KINDS = owners()
OWNERS = list(KINDS)


def type_of(draw, whole):
    """Mostly a type that the name has."""
    return draw.choice(TYPES + [k for k in KINDS.get(whole, ()) if k in TYPES] * 6)


def name(draw):
    """A name as somebody may write it."""
    whole = draw.choice(OWNERS)
    if "*" in whole or draw.random() < 0.1:
        whole = whole.replace("*", "w%d" % draw.randrange(50))
    kind = draw.randrange(12)
    if kind < 4:  # as in one of the search lists
        for zone in "sub.example.test", "example.test", "corp.test", "other.test":
            if whole.endswith("." + zone):
                return whole[:-len(zone) - 1]
        return whole
    if kind < 6:
        return whole
    if kind < 8:
        return whole + "."
    if kind == 8:  # there is none
        return "no%d.%s" % (draw.randrange(99), whole)
    if kind == 9:
        return draw.choice(["no%d" % draw.randrange(99), "no.where", "h3.nowhere",
                            "x.dname", "x.dnamehosts.example.test", "h5.corp",
                            "nonterminal", "empty.nonterminal", "y.wildalias",
                            "dname.example.test", "single",
                            "h1.refused.test", "h1.servfail.test", "filed",
                            "filed6", "tabbed", "alias-of-filed", "wrong",
                            "filed.example.test", "localhost", "h0.example.test"])
    if kind == 10:
        return "".join(draw.choice((c.upper(), c)) for c in whole)
    return draw.choice(ODD)


# What is no name, or no name of a host; and numbers.
ODD = ["..", "a..example.test", ".example.test", "h1..", "a" * 64,
       "a" * 64 + ".example.test", ".".join(["b" * 60] * 5),
       "192.0.2.1", "2001:db8::1", "::1", "127.0.0.1", "::ffff:192.0.2.1",
       "192.0.2.1.", "192.0.2.256", "192.0.2", "1.2.3.4.5", "fe80::1%lo",
       zones.LONGEST + ".example.test", zones.LONG_LABEL]


def is_number(name):
    """What a C library takes for an address, or part of one."""
    return ":" in name or re.fullmatch(r"[0-9.]+", name) is not None


def is_legal(name):
    """A name that dig would ask for."""
    bare = re.sub(r"\\\d{3}|\\.", "x", name)
    labels = bare[:-1].split(".") if bare.endswith(".") else bare.split(".")
    return (len(bare.rstrip(".")) <= 253 and
            all(0 < len(label) <= 63 for label in labels))


def questions(conditions, count):
    draw = conditions.random
    asked = []
    while len(asked) < count:
        kind = draw.randrange(10)
        if kind < 6:
            asked.append(("address", name(draw), draw.choice("00046")))
        elif kind < 9:
            whole = draw.choice(OWNERS) if draw.random() < 0.7 else name(draw)
            whole = whole.rstrip(".")
            if is_legal(whole):
                asked.append(("record", whole + ".", type_of(draw, whole)))
        else:
            asked.append(("reverse", draw.choice((
                "192.0.2.%d" % draw.randrange(1, 70), "192.0.2.200",
                "192.0.2.201", "198.51.100.1", "2001:db8::2", "2001:db8::3",
                "127.0.0.1", "192.0.2.240"))))
    return asked
