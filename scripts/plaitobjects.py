"""Reads the objects of lib/, reactor/ and protocols/, for check-symbols and
check-circles: those of the tests' build, and those of the shipped libraries as
far as nm can read them, which may be for the linker to compile.

What stands on OpenSSL, in the folder TLS, is a library of its own.  It has no
objects if the variable HAVE_OPENSSL is empty.
"""

import glob
import os
import re
import subprocess

FOLDERS = ("lib", "reactor", "protocols")
TLS = "protocols/tls/"
HAVE_OPENSSL = os.environ.get("HAVE_OPENSSL", "1") != ""


def find(pattern):
    """The files in these folders of that name, in order."""
    return [f for d in FOLDERS
            for f in sorted(glob.glob(f"{d}/**/{pattern}", recursive=True))]


def compiled():
    """The sources that make compiles."""
    return [source for source in find("*.c")
            if HAVE_OPENSSL or not source.startswith(TLS)]


def objects(build):
    """Of each source that has been compiled, its objects."""
    return {obj: source for source in compiled() for kind in ("verify", "obj")
            for obj in [f"{build}/{kind}/{source[:-2]}.o"]
            if os.path.exists(obj)}


def symbols(paths, *options):
    """(path, name, letter) of each symbol of these objects or libraries."""
    said = subprocess.run(["nm", "-PA", *options, *paths], text=True,
                          check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout
    for path, name, letter in re.findall(r"^(.*?)(?:\[.*\])?: (\S+) (\w)", said,
                                         re.M):
        yield path, name.split("@")[0], letter


def is_undefined(letter):
    return letter in "Uwv"
