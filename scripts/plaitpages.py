"""Which page declares a public name: what man-aliases says, for check-man and
man-html."""

import glob
import os
import subprocess
import tempfile

MAN_ALIASES = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                           "man-aliases")


def names():
    """Each name that `man 3' finds, with its page, and what is wrong."""
    paths = sorted(glob.glob("man/*.3"))
    found = {os.path.basename(path)[:-2]: path for path in paths}
    with tempfile.TemporaryDirectory() as directory:
        run = subprocess.run([MAN_ALIASES, directory, *paths], check=False,
                             text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        for name in os.listdir(directory):
            with open(os.path.join(directory, name), encoding="utf-8") as f:
                found[name[:-2]] = "man/" + f.read().strip()[len(".so man3/"):]
    return found, run.stderr.splitlines()
