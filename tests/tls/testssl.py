#!/usr/bin/env python3
"""What testssl.sh (Debian: testssl.sh) says of the sample tls-echo, in its
sections on protocols, ciphers, forward secrecy and vulnerabilities: each of its
findings must be good, or of no account.

The last line is "N passed, N failed".
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.environ.get("O", "build")
CERTIFICATES = f"{BUILD}/certificates"
GOOD = ("OK", "INFO", "DEBUG")


def findings(port, path):
    """Its status says how much it has not understood, such as the echo."""
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "off",
                    "--nodns", "none", "--jsonfile", path, "-p", "-s", "-f", "-U",
                    f"127.0.0.1:{port}"], check=False, timeout=600,
                   stdin=subprocess.DEVNULL)
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def of_server(certificate):
    """The findings about a server that has this certificate."""
    server = subprocess.Popen(
        [f"{BUILD}/samples/tls-echo", "--port", "0", "--certificate",
         f"{CERTIFICATES}/{certificate}.pem", "--key",
         f"{CERTIFICATES}/{certificate}.key"], stdout=subprocess.PIPE, text=True)
    try:
        port = re.search(r"\d+", server.stdout.readline())[0]
        with tempfile.TemporaryDirectory() as directory:
            return findings(port, f"{directory}/findings.json")
    finally:
        server.kill()
        server.communicate()


def main():
    if not shutil.which("testssl"):
        print("skipped: testssl.sh is not installed")
        return 0
    found = of_server("good")
    bad = [f for f in found if f["severity"] not in GOOD]
    for f in bad:
        print(f"{f['severity']} {f['id']}: {f['finding']}")
    # Sections that were left out would have no findings.
    sections = ("SSLv3", "TLS1_3", "cipherlist_NULL", "heartbleed", "ROBOT", "LUCKY13")
    missing = [s for s in sections if s not in {f["id"] for f in found}]
    print("".join(f"nothing about {s}\n" for s in missing), end="")
    failed = len(bad) + len(missing)
    print(f"{len(found) - len(bad)} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
