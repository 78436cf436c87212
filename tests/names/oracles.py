"""What others say to the same questions: the C library, as `getent ahosts' asks
it, and `dig +search'.  Each answer is a pair: how it ended, and what was found.

"no_name" and "no_data" are known; "fail" is all that leaves a question open."""

import concurrent.futures
import re
import socket
import subprocess

from questions import DECODED, is_legal

FOUND, NO_NAME, NO_DATA, FAIL, BAD_NAME = "ok", "no_name", "no_data", "fail", "bad_name"
FAMILIES = {"0": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}

# As getent has them, for both families; with these flags the C library looks up
# neither family alone where there is only loopback.
FLAGS = socket.AI_V4MAPPED | socket.AI_ADDRCONFIG | socket.AI_CANONNAME
GAI = {socket.EAI_NONAME: NO_NAME, socket.EAI_NODATA: NO_DATA}
H = {1: NO_NAME, 4: NO_DATA}


def address(text):
    return text.split("%")[0]


def libc_addresses(name, family):
    try:
        found = socket.getaddrinfo(name.encode(), None, FAMILIES[family],
                                   socket.SOCK_STREAM, 0,
                                   FLAGS if family == "0" else 0)
    except socket.gaierror as e:
        return GAI.get(e.errno, FAIL), frozenset()
    except UnicodeError:
        return BAD_NAME, frozenset()
    return FOUND, frozenset(address(sockaddr[0]) for *_, sockaddr in found)


def libc_names(text):
    try:
        name, aliases, _ = socket.gethostbyaddr(text)
    except socket.herror as e:
        return H.get(e.errno, FAIL), frozenset()
    return FOUND, frozenset(n.lower() for n in [name, *aliases])


def libc(question):
    kind, name, *rest = question
    if kind == "address":
        return libc_addresses(name, rest[0])
    return libc_names(name) if kind == "reverse" else None


def libc_all(questions, at_once):
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(libc, questions))


def getent(name):
    """The same as `getent ahosts' itself says it."""
    said = subprocess.run(["getent", "ahosts", name], capture_output=True,
                          text=True, check=False).stdout
    return frozenset(address(line.split()[0]) for line in said.splitlines())


# dig

def lookups(question):
    """The lines for dig: one for each type that is asked for."""
    kind, name, *rest = question
    if kind == "address":
        types = {"0": ("A", "AAAA"), "4": ("A",), "6": ("AAAA",)}[rest[0]]
        return ["+search -q %s -t %s" % (name, t) for t in types]
    if kind == "reverse":
        return ["+nosearch -x " + name]
    unknown = "" if rest[0] in DECODED else " +unknownformat"
    return ["+nosearch%s -q %s -t %s" % (unknown, name, rest[0])]


def dig_blocks(said):
    """Splits what dig says into that of each lookup."""
    block = []
    blocks = []
    for line in said.splitlines():
        if line.startswith(";; ->>HEADER<<-") or line.startswith(";; no servers"):
            block = [line]
            blocks.append(block)
        else:
            block.append(line)
    return blocks


STATUS = {"NOERROR": NO_DATA, "NXDOMAIN": NO_NAME}


def dig_answer(block):
    """How a lookup ended, and the records in the answer."""
    status = re.search(r"status: (\w+)", block[0])
    if not status:
        return FAIL, []
    records = [record(line) for line in block[1:]
               if line and not line.startswith(";")]
    return STATUS.get(status.group(1), FAIL), records


def dig_all(questions, options):
    """For each question: what came of its lookups, joined."""
    legal = [q if q[0] == "reverse" or is_legal(q[1]) else None for q in questions]
    lines = [line for q in legal if q for line in lookups(q)]
    said = subprocess.run(
        ["dig", "-r", *options, "-f", "-", "+noall", "+comments", "+answer"],
        input="".join(line + "\n" for line in lines), capture_output=True,
        text=True, check=False, encoding="latin1").stdout
    blocks = dig_blocks(said)
    if len(blocks) != len(lines):
        raise RuntimeError("dig answered %d of %d lookups\n%s"
                           % (len(blocks), len(lines), said[-2000:]))
    answers = iter([dig_answer(b) for b in blocks])
    return [joined(q, [next(answers) for _ in lookups(q)]) if q
            else (BAD_NAME, frozenset()) for q in legal]


def joined(question, answers):
    kind, *_, kind_of_record = question
    kind_of_record = {"TYPE257": "CAA"}.get(kind_of_record, kind_of_record)
    types = {"address": ("A", "AAAA"), "reverse": ("PTR",)}.get(
        kind, (kind_of_record,))
    found = [r for _, records in answers for r in records]
    if any(t in types for _, t, _ in found):
        if kind == "record":
            return FOUND, frozenset(r for r in found if r[1] != "DNAME")
        return FOUND, frozenset(data for _, t, data in found if t in types)
    outcomes = [outcome for outcome, _ in answers]
    for outcome in FAIL, NO_NAME:
        if outcome in outcomes:
            return outcome, frozenset()
    return NO_DATA, frozenset()


# Records as text, in one form: where names stand in them, without the dot at
# the end and in small letters.
NAMES_AT = {"CNAME": (0,), "NS": (0,), "PTR": (0,), "MX": (1,), "SRV": (3,),
            "SOA": (0, 1), "DNAME": (0,)}


def small(name):
    return (name if name == "." or name.endswith("\\.") else
            name.rstrip(".") or ".").lower()


def record(line):
    """Owner, type and data of a line "NAME TTL [CLASS] TYPE DATA"."""
    owner, _, rest = line.split(None, 2)
    kind, _, data = re.sub(r"^(IN|CLASS1)\s+", "", rest).expandtabs(1).partition(" ")
    kind = {"TYPE257": "CAA"}.get(kind, kind)
    fields = data.split(" ")
    for i in NAMES_AT.get(kind, ()):
        fields[i] = small(fields[i])
    data = " ".join(fields)
    if data.startswith("\\#"):
        _, length, *digits = data.split()
        data = " ".join(["\\#", length, "".join(digits).lower()]).strip()
    return small(owner), kind, data
