#!/usr/bin/env python3
"""docs/writing-a-plugin.md, followed to the letter: its shell runs, its code is the template's, and its plugin keys a link.

Takes the build folder. The plugin is built out of tree, against the installed SDK.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1]).resolve()
REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "writing-a-plugin.md").read_text()
SOURCE = (REPOSITORY / "core" / "sdk" / "template" / "plugin.cpp").read_text()
MOST_LINES = 100


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def code_lines(text):
    return [line for line in text.splitlines() if line.strip() and not re.match(r"\s*//|#include", line)]


for block in blocks("cpp"):
    assert block in SOURCE, f"this is not in the template's plugin.cpp:\n{block}"
assert len(code_lines(SOURCE)) < MOST_LINES, len(code_lines(SOURCE))

os.umask(0o022)
with tempfile.TemporaryDirectory(prefix="qkd-tutorial-") as folder:
    work = Path(folder)
    lab = work / "lab"
    settings = {**os.environ, "PREFIX": str(work / "prefix"), "BUILD": str(BUILD), "WORK": folder, "LAB": str(lab),
                "REPOSITORY": str(REPOSITORY), "QKD_BIN": str(BUILD / "bin")}
    script = "\n".join(blocks("sh"))
    try:
        done = subprocess.run(["bash", "-euxo", "pipefail", "-c", script], cwd=REPOSITORY, env=settings, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=540, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"exit {done.returncode}\n{said}"
        report = json.loads((lab / "report.json").read_text())
        assert [link["result"] for link in report["links"]] == ["rotated"], said
        asked = (lab / "kme" / "log").read_text()
        assert "POST /api/v1/keys/request" in asked, "no KME was asked through ACME's API"
        with_kme = said[said.rindex("key-source.exact"):]
        for law in ("exact", "distinct", "same", "sizes", "unknown", "nonsense", "status", "deadline", "stop"):
            assert re.search(rf"key-source\.{law} +held", with_kme), f"{law} was not tried\n{said}"
        readme = (work / "kme-acme" / "README.md").read_text()
        assert "| `url` | url | required |" in readme, readme
        # The template's own test, as its user would run it.
        subprocess.run(["ctest", "--test-dir", "build", "--output-on-failure"], cwd=work / "kme-acme", env=settings,
                       check=True, timeout=120)
    finally:
        if lab.exists():
            subprocess.run([sys.executable, REPOSITORY / "scripts" / "lab", "down", lab], check=False, timeout=60)
