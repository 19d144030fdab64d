#!/usr/bin/env python3
"""The public headers and the ABI number belong together: a header that changes without a new number fails here.

The golden file holds one line per ABI: number and hash of the headers without comments and white space. After a change
that needs one, raise QKD_ABI_MAJOR or QKD_ABI_MINOR in plugin.hpp and run `tests/sdk/abi.py --record`.
"""
import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ROOT / "core" / "sdk" / "include" / "qkd" / "sdk"
GOLDEN = ROOT / "tests" / "golden" / "sdk-abi.txt"


def code(path):
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", path.read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text).strip()


def main():
    digest = hashlib.sha256()
    for path in sorted(HEADERS.glob("*.hpp")):  # net/ is linked into plugins, not shared with the engine
        digest.update(f"{path.name}\0{code(path)}\0".encode())
    plugin = (HEADERS / "plugin.hpp").read_text()
    number = ".".join(re.search(rf"#define QKD_ABI_{part} (\d+)", plugin)[1] for part in ("MAJOR", "MINOR"))
    known = dict(line.split() for line in GOLDEN.read_text().splitlines() if line) if GOLDEN.exists() else {}
    if "--record" in sys.argv:
        known[number] = digest.hexdigest()
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text("".join(f"{n} {h}\n" for n, h in sorted(known.items())))
    elif known.get(number) != digest.hexdigest():
        sys.exit(f"the SDK headers are not those of ABI {number}: raise the number in plugin.hpp, then tests/sdk/abi.py --record")


main()
