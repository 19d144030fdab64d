#!/usr/bin/env python3
"""Event script of a router: one on-box turn of qkd-macsec. Lies in /var/db/scripts/event/, see event-options.set.

The program, its pipeline and its plugins lie below HOME; PIPELINE has mode = "onbox" and lists this router under its host
name, with transport = "local". Every member of the link has the same files and starts at the same times; they meet through the
key_ID transport and wait for each other there, so `wait` of that stage must be longer than their schedules may differ.
"""
import os
import socket
import subprocess
import sys

HOME = "/var/db/qkd-macsec"
PROGRAM = HOME + "/bin/qkd-macsec"
PIPELINE = HOME + "/pipeline.toml"
LOG = HOME + "/qkd-macsec.log"
LONGEST = 540  # seconds: less than the interval, so that turns never pile up


def device():
    """The router's name; routing engines add -re0 or -re1 to it."""
    name = socket.gethostname().split(".")[0]
    return name[:-4] if name.endswith(("-re0", "-re1")) else name


def command():
    return [PROGRAM, "run", PIPELINE, "--as", device(), "--log-file", LOG]


def main():
    child = subprocess.Popen(command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=HOME,
                             env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": HOME})
    try:
        return child.wait(LONGEST)
    except subprocess.TimeoutExpired:
        child.terminate()  # it reverts what is not confirmed before it ends
        return child.wait()


if __name__ == "__main__":
    sys.exit(main())
