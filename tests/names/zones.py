"""The zones that the servers of check-names serve, and the names in them that
are asked for.  All of it comes from these few lines: no zone is in a file."""

LONG_LABEL = "l" * 63
# 253 bytes with example.test: four labels, no dot at the end.
LONGEST = ".".join([LONG_LABEL, LONG_LABEL, LONG_LABEL, "m" * 48])
SOA = "@ %d SOA ns.example.test. admin.example.test. 1 3600 600 86400 %d"
CHAIN = 16  # names of the longest chain of CNAMEs that plait follows


def hosts():
    """Names with A, with AAAA, with both, and with several of each."""
    for i in range(60):
        if i % 3 != 1:
            yield "h%d A 192.0.2.%d" % (i, i + 1)
        if i % 3 != 0:
            yield "h%d AAAA 2001:db8::%x" % (i, i + 1)
    for i in range(5):
        yield "several A 198.51.100.%d" % (i + 1)
        yield "several AAAA 2001:db8:1::%x" % (i + 1)


def many():
    """Answers that need TCP, also with 1232 bytes for one of UDP."""
    for i in range(60):
        yield "sixty A 203.0.113.%d" % (i + 1)
        yield "sixty AAAA 2001:db8:60::%x" % (i + 1)
        yield 'sixty TXT "%s %d"' % ("text" * 20, i)
    # Above 512 bytes, below 1232.
    for i in range(35):
        yield "thirtyfive A 203.0.113.%d" % (i + 101)


def chains():
    """cN needs N CNAMEs; the last is a host.  And what leads nowhere."""
    yield "c1 CNAME several"
    for i in range(2, CHAIN + 3):
        yield "c%d CNAME c%d" % (i, i - 1)
    yield "self CNAME self"
    yield "loop0 CNAME loop1"
    yield "loop1 CNAME loop2"
    yield "loop2 CNAME loop0"
    yield "tonothing CNAME nothing.example.test."
    yield "tonodata CNAME text"
    yield "toother CNAME there.other.test."
    yield "tolame CNAME a.refused.test."
    yield "underalias CNAME _alias"
    yield "_alias A 192.0.2.77"


def kinds():
    """Each type of record that plait decodes, and some that it does not."""
    return [
        'text TXT "one" "two words" "" "quote\\" back\\\\slash" "\\000\\255"',
        'text TXT "another"',
        'longtext TXT %s' % " ".join('"%s"' % (c * 255) for c in "abc"),
        "mail MX 10 mx1", "mail MX 20 mx2.other.test.", "mail MX 0 .",
        "_poetry._tcp SRV 0 5 10000 h3", "_poetry._tcp SRV 10 0 65535 .",
        "sub NS ns1.sub", "sub NS ns2.sub",
        "ns1.sub A 127.0.0.3", "ns2.sub A 127.0.0.3",
        "pointer PTR h5", "caa CAA 0 issue \"ca.example\"",
        "unknown TYPE65280 \\# 4 01020304", "empty TYPE65281 \\# 0",
        'info HINFO "cpu" "os"',
        "person RP admin text",
        "service SVCB 1 h3 port=853",
    ]


def odd():
    """Names that need care: bytes that are escaped, wildcards, DNAME, TTLs."""
    return [
        "a\\.b A 192.0.2.100", "sp\\032ace A 192.0.2.101",
        "nul\\000byte A 192.0.2.102", "back\\\\slash A 192.0.2.103",
        "quo\\\"te A 192.0.2.104", "high\\255 A 192.0.2.105",
        "under_score A 192.0.2.106", "-dash- A 192.0.2.107",
        "123 A 192.0.2.108", "UPPER A 192.0.2.109",
        "xn--bcher-kva A 192.0.2.110",
        "*.wild A 192.0.2.111", "*.wild TXT \"wild\"",
        "there.wild AAAA 2001:db8::111",
        "*.wildalias CNAME several",
        "below.empty.nonterminal A 192.0.2.112",
        "dname DNAME wild",
        "dnamehosts DNAME hosts.other.test.",
        "zero 0 A 192.0.2.113", "zero 0 AAAA 2001:db8::113",
        "week 604800 A 192.0.2.114", "ages 2147483647 A 192.0.2.115",
        "%s A 192.0.2.116" % LONG_LABEL, "%s A 192.0.2.117" % LONGEST,
        "mapped AAAA ::ffff:192.0.2.118", "unspecified A 0.0.0.0",
        "loopback A 127.0.0.1", "loopback AAAA ::1",
        "linklocal AAAA fe80::1",
    ]


def zones():
    """Zone name: lines of its file."""
    example = [SOA % (600, 300), "@ NS ns", "@ A 192.0.2.200", "ns A 127.0.0.3"]
    for lines in hosts, many, chains, kinds, odd:
        example += lines()
    corp = [SOA % (0, 0), "@ NS ns.example.test.", "only A 10.0.0.1",
            "h1 A 10.0.0.2", "h7 TXT \"no address here\"", "h4 CNAME only",
            "several AAAA 2001:db8:c::1", "in.dept A 10.0.0.3",
            "broken CNAME a.servfail.test."]
    other = [SOA % (60, 3600), "@ NS ns.example.test.", "there A 10.1.0.1",
             "there AAAA 2001:db8:2::1", "mx2 A 10.1.0.2", "h9 A 10.1.0.9",
             "x.hosts A 10.1.0.3", "x.hosts AAAA 2001:db8:2::3"]
    sub = [SOA % (600, 300), "@ NS ns1", "@ NS ns2", "ns1 A 127.0.0.3",
           "ns2 A 127.0.0.3", "deep A 10.2.0.1", "deep.er A 10.2.0.2",
           "h2 A 10.2.0.3"]
    reverse4 = [SOA % (600, 300), "@ NS ns.example.test."] + [
        "%d PTR h%d.example.test." % (i + 1, i) for i in range(0, 60, 2)] + [
        "200 PTR example.test.", "200 PTR two.example.test.",
        "201 CNAME 1.0/25", "1.0/25 PTR classless.example.test."]
    reverse6 = [SOA % (600, 300), "@ NS ns.example.test.",
                "%s PTR h1.example.test." % ".".join("2" + "0" * 23)]
    # The root, so that names elsewhere do not exist; and two zones of others,
    # who say that they do not know them.
    root = ["@ 600 SOA ns.example.test. admin.example.test. 1 3600 600 86400 300",
            "@ NS ns.example.test.", "ns.example.test. A 127.0.0.3",
            "refused.test. NS ns.refused.test.", "ns.refused.test. A 127.0.0.4",
            "servfail.test. NS ns.servfail.test.",
            "ns.servfail.test. A 127.0.0.5", "single A 10.3.0.1"]
    delegated = {"example.test": example, "corp.test": corp,
                 "other.test": other, "sub.example.test": sub,
                 "2.0.192.in-addr.arpa": reverse4,
                 "8.b.d.0.1.0.0.2.ip6.arpa": reverse6}
    root += ["%s. NS ns.example.test." % z for z in delegated
             if z != "sub.example.test"]
    return {**delegated, ".": root}


def zone_file(lines):
    return "$TTL 3600\n" + "\n".join(lines) + "\n"
