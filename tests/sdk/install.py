#!/usr/bin/env python3
"""cmake --install gives a tree that works: the program finds its plugins, and a plugin builds against the installed SDK."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1])
OUTSIDE = Path(__file__).resolve().parent / "outside"


def call(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=240, check=False, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


os.umask(0o022)
with tempfile.TemporaryDirectory(prefix="qkd-install-") as folder:
    prefix, build = Path(folder) / "prefix", Path(folder) / "build"
    call("cmake", "--install", BUILD, "--prefix", prefix)
    program = prefix / "bin" / "qkd-macsec"
    listed = {p["name"]: p["status"] for p in json.loads(call(program, "plugins", "list", "--json", cwd="/"))}
    for name in ("junos-netconf", "kme-etsi014", "kme-mock", "keyid-scp", "keyid-lldp", "keyid-memory", "certs-x509", "persist-file"):
        assert listed.get(name) == "ok", f"{name}: {listed}"

    call("cmake", "-S", OUTSIDE, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    call("cmake", "--build", build)
    plugins = Path(folder) / "plugins"
    plugins.mkdir()
    (build / "libqkd-persist-outside.so").rename(plugins / "libqkd-persist-outside.so")
    listed = json.loads(call(program, "plugins", "list", "--json", "--plugin-dir", plugins))
    assert [(p["name"], p["status"], p["stages"]) for p in listed] == [("persist-outside", "ok", ["persist"])], listed
