#!/usr/bin/env python3
"""Compares the library with `getent ahosts' and `dig +search': the same
questions, under the same files, to the same servers.

usage: judge.py [--seed N] [--each N] [NUMBER...]

NUMBER picks conditions of questions.py.  Every difference must have one of the
reasons below, which are those of plait_resolve(3); they are counted.
"""

import argparse
import collections
import concurrent.futures
import copy
import json
import os
import re
import subprocess
import sys
import time

import oracles
import questions as asking
import world
import zones
from oracles import FOUND, NO_NAME, NO_DATA, FAIL, BAD_NAME

ASK = os.path.join(os.environ.get("O", "build"), "tests", "names", "ask")
KINDS = {"DNSNoNameError": NO_NAME, "DNSNoDataError": NO_DATA,
         "DNSBadNameError": BAD_NAME}
MINUTE = 60


# The library

def plait_all(asked, at_once):
    said = subprocess.run([ASK, str(at_once)], capture_output=True, text=True,
                          encoding="utf8", errors="replace", check=False,
                          timeout=5 * MINUTE,
                          input="".join("\t".join(q) + "\n" for q in asked))
    answers = {}
    for line in said.stdout.splitlines():
        number, seconds, how, *what = line.split("\t")
        answers[int(number)] = (how, what)
    if said.returncode or said.stderr or len(answers) != len(asked):
        raise RuntimeError("ask: status %d, %d of %d answers\n%s" % (
            said.returncode, len(answers), len(asked), said.stderr[-4000:]))
    return [plait_answer(asked[i], *answers[i]) for i in range(len(asked))]


def plait_answer(question, how, what):
    if how != "ok":
        return KINDS.get(how, FAIL), frozenset()
    if question[0] == "address":
        return FOUND, frozenset(map(oracles.address, what))
    if question[0] == "reverse":
        return FOUND, frozenset(name.lower() for name in what)
    return FOUND, frozenset(map(oracles.record, what))


# Reasons for a difference

class Case:
    """A question, under its conditions, and what was said."""

    def __init__(self, conditions, question, plait, libc, dig):
        self.conditions = conditions
        self.kind, self.name, *rest = question
        self.wish = rest[0] if rest else None
        self.plait, self.libc, self.dig = plait, libc, dig

    def is_searched(self):
        return (self.kind == "address" and not self.name.endswith(".") and
                bool(self.conditions.domains()))

    def __str__(self):
        return "%s %s %s\n\tunder %s\n\tplait  %s\n\tgetent %s\n\tdig    %s" % (
            self.kind, self.name, self.wish or "", self.conditions,
            show(self.plait), show(self.libc), show(self.dig))


def show(answer):
    if answer is None:
        return "was not asked"
    how, what = answer
    return " ".join([how, *sorted(map(str, what))])


def not_of_the_dns(case):
    bare = case.name.rstrip(".").lower()
    return (case.kind in ("address", "reverse") and
            (any(bare in line.lower().split("#")[0].split()
                 for line in asking.HOSTS.splitlines()) or
             bare.endswith("localhost") or asking.is_number(bare)))


def hosts_lines(name):
    """The lines of the hosts file that have this name or address."""
    lines = [line.lower().split("#")[0].split()
             for line in asking.HOSTS.splitlines()]
    return [line for line in lines if name.lower().rstrip(".") in line]


def is_host_name(name):
    return re.fullmatch(r"(?i)([a-z0-9_][a-z0-9_-]*\.?)+", name) is not None


def alias_chain(c):
    """Whether more aliases than plait follows lead on from the name."""
    found = re.match(r"(?i)c(\d+)(\.|$)", c.name)
    return found and int(found.group(1)) > zones.CHAIN


def stops_at_alias(c):
    """Whether the search meets an alias, of whatever has no address."""
    return c.is_searched() and c.plait[0] == FOUND and any(
        asking.KINDS.get("%s.%s" % (c.name.lower(), d)) == ["CNAME"]
        for d in c.conditions.domains())


def asks_authority(c):
    return {world.KNOT, world.NSD} & set(c.conditions.good)


def is_delegated(name):
    return re.search(r"(?i)((^|\.)(refused|servfail)\.test|^broken.corp.test|"
                     r"^tolame(.example.test)?)\.?$", name)


def is_loop(name):
    return re.match(r"(?i)(self|loop\d)(\.|$)", name)


def is_alias(c):
    return re.match(r"(?i)(c\d+|toother|tonothing|201|x\.dnamehosts)(\.|$)", c.name)


def has_two_names(c):
    return (c.kind == "reverse" and c.name == "192.0.2.200" and
            world.DNSMASQ in c.conditions.servers and c.plait[0] == FOUND)


BOTH = [
    ("plait follows %d aliases" % zones.CHAIN, alias_chain),
    ("plait asks on where a server leaves out what an alias leads to",
     lambda c: asks_authority(c) and c.plait[0] == FOUND and is_alias(c)),
    ("plait takes no referral for an answer",
     lambda c: asks_authority(c) and c.plait[0] == FAIL and is_delegated(c.name)),
    ("plait fails where aliases lead in a circle",
     lambda c: asks_authority(c) and c.plait[0] == FAIL and is_loop(c.name)),
    ("dnsmasq remembers one of several names", has_two_names),
    ("dnsmasq forgets aliases, and what they lead to",
     lambda c: world.DNSMASQ in c.conditions.servers and is_alias(c)),
]

LIBC = BOTH + [
    ("the C library does not tell a bad name from one that is not there",
     lambda c: (c.plait[0], c.libc[0]) == (BAD_NAME, NO_NAME)),
    ("the C library often says of a name without addresses that it is not there",
     lambda c: (c.plait[0], c.libc[0]) == (NO_DATA, NO_NAME)),
    ("the C library may say of a failure that there is no such name",
     lambda c: (c.plait[0], c.libc[0]) == (FAIL, NO_NAME) and
     (c.is_searched() or c.dig is None or c.dig[0] == FAIL)),
    ("the C library does not ask without EDNS after FORMERR",
     lambda c: world.FORMERR in c.conditions.servers and
     c.conditions.has("edns0") and c.plait[0] in (FOUND, NO_NAME, NO_DATA) and
     c.libc[0] in (NO_NAME, FAIL)),
    ("the C library refuses names that are not those of hosts",
     lambda c: c.kind == "address" and c.libc[0] == NO_NAME and
     not is_host_name(c.name)),
    ("the C library takes parts of an address for an address",
     lambda c: c.kind == "address" and
     re.fullmatch(r"\d+(\.\d+){0,2}", c.name) is not None),
    ("the C library maps addresses of the other family, or refuses them",
     lambda c: c.kind == "address" and c.plait[0] == NO_DATA and
     asking.is_number(c.name) and c.wish in "46"),
    ("the C library looks up what no-aaaa forbids, to see whether it is there",
     lambda c: c.conditions.has("no-aaaa") and c.wish == "6" and
     c.plait[0] == NO_DATA and c.libc[0] == FAIL),
    ("the C library gives one of several names of an address",
     lambda c: c.kind == "reverse" and c.plait == c.dig and
     c.libc[1] < c.plait[1]),
    ("the C library adds the aliases of the hosts file to the name of an address",
     lambda c: c.kind == "reverse" and hosts_lines(c.name) and
     c.plait[1] < c.libc[1]),
    ("the C library does not find NAME. in the hosts file",
     lambda c: c.name.endswith(".") and hosts_lines(c.name) and
     c.dig in (c.libc, None)),
    ("the C library reads one line of the hosts file",
     lambda c: len(hosts_lines(c.name)) > 1 and c.libc[1] < c.plait[1]),
    ("an alias without an address ends the search of the C library",
     stops_at_alias),
    ("a name that is too long with one domain ends the search of the C library",
     lambda c: c.is_searched() and c.plait[0] == FOUND and
     len(c.name) + max(map(len, c.conditions.domains())) > 252),
]

DIG = BOTH + [
    ("dig does not read the hosts file, and takes no numbers", not_of_the_dns),
    ("dig ends the search at a name that has no such record",
     lambda c: c.is_searched() and c.dig[0] == NO_DATA),
    ("dig does not search for what has ndots dots",
     lambda c: c.is_searched() and c.dig[0] == NO_NAME and
     c.name.count(".") >= c.conditions.ndots()),
]


def candidates(c):
    """The names that servers are asked for."""
    domains = c.conditions.domains() if c.is_searched() else []
    return [c.name] + ["%s.%s" % (c.name, d) for d in domains]


def must_fail(c):
    """Whether plait has to fail, also where others do not."""
    return not c.conditions.good or alias_chain(c) or any(
        is_delegated(name) or is_loop(name) for name in candidates(c))


def reason(case):
    """Why the answers differ: None if they do not, "" if there is no reason."""
    found = None
    for other, reasons in (case.libc, LIBC), (case.dig, DIG):
        if other is None or other == case.plait:
            continue
        found = next((text for text, holds in reasons if holds(case)), "")
        if FAIL == case.plait[0] != other[0] and not must_fail(case):
            found = ""
        if not found:
            break
    return found


# One set of conditions, in a process with an /etc of its own

def dig_options(conditions):
    """dig is asked about the answers, not about servers that have none."""
    options = ["@" + conditions.good[0]] if conditions.good else []
    if conditions.good and conditions.good[0] in (world.FORMERR, world.NOTIMP):
        options.append("+noedns")
    return options


def ask_all(conditions, asked):
    """A case for each question."""
    at_once = 12 if conditions.slow else 4
    libc = oracles.libc_all(asked, at_once)
    dig = (oracles.dig_all(asked, dig_options(conditions))
           if conditions.good else [None] * len(asked))
    if not conditions.has("rotate"):
        check_getent(asked, libc)
    if conditions.has("no-aaaa"):  # an option that dig does not know
        dig = [None if q[0] == "address" and q[2] != "4" else d
               for q, d in zip(asked, dig)]
    plait = plait_all(asked, at_once)
    return [Case(conditions, *answers) for answers in zip(asked, plait, libc, dig)]


def others_failed(case):
    return any(a and a[0] == FAIL for a in (case.libc, case.dig))


def failure_is_noticed(case):
    """Whether it would be noticed if plait had failed here.  Where others did
    not find it out either, nobody knows better."""
    if case.plait[0] == FAIL or others_failed(case) or must_fail(case):
        return True
    case = copy.copy(case)
    case.plait = FAIL, frozenset()
    return reason(case) == ""


def judge(number, each, seed, where):
    where = os.path.join(where, str(number))
    os.mkdir(where)
    etc = world.Etc(where)
    conditions = asking.all_conditions(seed)[number]
    etc.write("resolv.conf", conditions.resolv_conf)
    etc.write("hosts", asking.HOSTS)
    asked = asking.questions(conditions, 12 if conditions.slow else each)
    cases = ask_all(conditions, asked)
    # A server on a busy machine may fail, and remember that for 5 seconds.  If
    # it has failed for plait alone, that is plait's failure, and stays.
    again = [i for i, c in enumerate(cases)
             if reason(c) == "" and others_failed(c)]
    if 0 < len(again) < 10:
        time.sleep(6)
        for i, case in zip(again, ask_all(conditions, [asked[i] for i in again])):
            cases[i] = case
    reasons = collections.Counter(map(reason, cases))
    del reasons[None]
    print(json.dumps({
        "asked": len(asked), "again": len(again),
        "bad": [str(c) for c in cases if reason(c) == ""] +
               ["not noticed if plait fails: %s" % c for c in cases
                if not failure_is_noticed(c)],
        "reasons": {text: n for text, n in reasons.items() if text}}))


def check_getent(asked, libc):
    """The C library was asked by a call: getent has to say the same."""
    sample = [(q, a) for q, a in zip(asked, libc)
              if q[0] == "address" and q[2] == "0"][:5]
    for question, (_, found) in sample:
        if oracles.getent(question[1]) != found:
            raise RuntimeError("getent %s: %s, not %s" % (
                question[1], oracles.getent(question[1]), found))


# All of them

def judge_apart(number, args, where):
    argv = ["unshare", "-m", "--propagation", "private", sys.executable,
            os.path.abspath(__file__), "--inside", where, "--each",
            str(args.each), "--seed", str(args.seed), str(number)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    if said.returncode:
        return {"asked": 0, "reasons": {}, "bad": [
            "conditions %d: %s" % (number, said.stderr[-4000:])]}
    return json.loads(said.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=260)
    parser.add_argument("--inside")
    parser.add_argument("numbers", type=int, nargs="*")
    args = parser.parse_args()
    if args.inside:
        judge(args.numbers[0], args.each, args.seed, args.inside)
        return 0
    where = world.enter()
    asked, reasons, bad = 0, collections.Counter(), []
    numbers = args.numbers or range(len(asking.all_conditions(args.seed)))
    with world.Servers(where), \
            concurrent.futures.ThreadPoolExecutor(2 + (os.cpu_count() or 1)) as pool:
        for result in pool.map(lambda n: judge_apart(n, args, where), numbers):
            asked += result["asked"]
            reasons.update(result["reasons"])
            bad += result["bad"]
    for text in bad:
        print("FAILED: " + text)
    for text, count in sorted(reasons.items()):
        print("%6d  %s" % (count, text))
    print("%d passed, %d failed" % (asked - len(bad), len(bad)))
    return len(bad) > 0


if __name__ == "__main__":
    sys.exit(main())
