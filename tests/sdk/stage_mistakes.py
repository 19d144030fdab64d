#!/usr/bin/env python3
"""A mistake in a plugin's table must not compile, and the compiler must say what is wrong.   stage_mistakes.py COMPILER"""
import subprocess
import sys
import tempfile
from pathlib import Path

INCLUDE = Path(__file__).resolve().parents[2] / "core" / "sdk" / "include"

PRELUDE = """
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/persist.hpp"
#include "qkd/sdk/plugin.hpp"
using namespace qkd;
struct Whole : KeySource {
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override { return {}; }
    Result<SourceStatus> status(Context&, const std::string&) override { return SourceStatus{}; }
    Result<std::vector<Key>> mint(Context&, const MintRequest&) override { return std::vector<Key>(); }
    Result<std::vector<Key>> fetch(Context&, const FetchRequest&) override { return std::vector<Key>(); }
};
struct Abstract : KeySource {
    Result<void> configure(const ConfigView&) override { return {}; }
};
struct Demanding : Whole {
    explicit Demanding(int) {}
};
class Hidden : public Whole {
    Hidden() = default;
};
struct Stranger {};
struct Private : private Whole {};
"""

FITS = ["stage<KeySource, Whole>()", "stage<KeySource, Whole>({Capability::multicast}, {Capability::files})"]
MISTAKES = {
    "stage<KeySource, Stranger>()": "must derive publicly from that interface",
    "stage<KeySource, Private>()": "must derive publicly from that interface",
    "stage<Persist, Whole>()": "must derive publicly from that interface",
    "stage<KeySource, Abstract>()": "a call of the interface is not overridden",
    "stage<KeySource, Demanding>()": "a public constructor without arguments",
    "stage<KeySource, Hidden>()": "a public constructor without arguments",
    "stage<Stage, Whole>()": "must be a stage class of the SDK",
    "stage<Whole, Whole>()": "must be a stage class of the SDK",
    "stage<KeySource, Whole>({Capability::writes})": "provides a capability that belongs to another kind of stage",
    "stage<KeySource, Whole>({}, {Capability::once})": "needs a capability that no device's plugin can provide",
}


def run(*command, text=None):
    return subprocess.run(command, input=text, text=True, capture_output=True, timeout=120,
                          env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})


def judge(compiler, folder):
    prelude = folder / "prelude.hpp"
    prelude.write_text(PRELUDE)
    base = [compiler, "-std=c++20", f"-I{INCLUDE}"]
    ready = run(*base, "-x", "c++-header", str(prelude), "-o", f"{prelude}.gch")  # the headers are read once
    if ready.returncode != 0:
        return [f"the headers do not compile:\n{ready.stderr}"]

    def attempt(entry):
        return run(*base, "-fsyntax-only", "-include", str(prelude), "-x", "c++", "-",
                   text=f"constexpr StageInfo made = {entry};\nstatic_assert(made.create != nullptr);\n")

    wrong = []
    for entry in FITS:
        done = attempt(entry)
        if done.returncode != 0:
            wrong.append(f"{entry} does not compile:\n{done.stderr}")
    for entry, says in MISTAKES.items():
        done = attempt(entry)
        if done.returncode == 0:
            wrong.append(f"{entry} compiles")
        elif says not in done.stderr:
            wrong.append(f"{entry} is refused without saying '{says}':\n{done.stderr}")
    return wrong


with tempfile.TemporaryDirectory() as scratch:
    sys.exit("\n".join(judge(sys.argv[1], Path(scratch))) or 0)
