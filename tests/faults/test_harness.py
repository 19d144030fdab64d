"""The harness against programs that are broken on purpose: each must be found out, by its own kind."""
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("QKD_BIN", REPOSITORY / "build" / "release" / "bin"))
CASE = "kc.commit-confirmed.error.responder"

def program(folder, harm):
    """A folder of binaries in which the program does something wrong after its work, in bash: STATE is its state directory,
    LAB the lab, $code the exit code."""
    for name in ("junos-sim", "kme-sim"):
        (folder / name).symlink_to(BIN / name)
    wrapper = folder / "qkd-macsec"
    wrapper.write_text(f"""#!/bin/bash
{BIN}/qkd-macsec "$@"
code=$?
pipeline=$2
STATE=${{pipeline%/pipeline.toml}}/state
LAB=${{pipeline%/pair-*}}/lab
export -n LD_PRELOAD
{harm}
exit $code
""")
    wrapper.chmod(0o755)
    return folder


def faults(bin_folder, out, *words):
    counts = Path(out) / "counts.json"
    done = subprocess.run([REPOSITORY / "scripts" / "faults", "--bin", bin_folder, "--out", out, "--json", counts, "--jobs", "1", *words],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    return done, json.loads(counts.read_text()) if counts.exists() else None


class BrokenPrograms(unittest.TestCase):
    def test_the_real_one_passes(self):
        with tempfile.TemporaryDirectory() as out:
            done, counts = faults(BIN, out, "--case", CASE)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(counts, {"cases": 1, "apart": 0, "burnt": 0, "down": 0, "leaks": 0, "wrong_exit": 0})

    def found(self, kind, harm):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
            done, counts = faults(program(Path(folder), harm), out, "--case", CASE)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertEqual(counts[kind], 1, done.stdout + done.stderr)
            kept = Path(out) / "cases" / CASE
            self.assertIn(f"repeat: scripts/faults --case {CASE}", (kept / "verdict").read_text())
            self.assertTrue((kept / "wire.log").exists())

    def test_one_that_forgets_its_audit_log(self):
        self.found("burnt", 'rm -f "$STATE/audit.jsonl"')

    def test_one_that_prints_a_key(self):
        self.found("leaks", 'tail -1 "$LAB/kme/audit.jsonl" >&2')

    def test_one_that_always_says_it_is_well(self):
        self.found("wrong_exit", "code=0")

    def test_ends_that_were_apart(self):
        self.found("apart", """for log in "$LAB"/wires/*.log; do
last=$(tail -1 "$log")
echo "${last/\\"apart\\":false/\\"apart\\":true}" >> "$log"
done""")

    def test_a_next_run_that_does_nothing(self):
        # The report of the run before, and the link stays where it was.
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
            wrapper = program(Path(folder), "") / "qkd-macsec"
            wrapper.write_text(wrapper.read_text().replace(f'{BIN}/qkd-macsec "$@"', f'[[ $* == *next.report* ]] && exit 0\n{BIN}/qkd-macsec "$@"'))
            done, counts = faults(folder, out, "--case", CASE)
            self.assertEqual((done.returncode, counts["down"], counts["wrong_exit"]), (1, 1, 1), done.stdout + done.stderr)

    def test_a_fault_that_never_strikes_proves_nothing(self):
        # The program ends before it touches a device, so the device's fault has nobody to hit.
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
            wrapper = program(Path(folder), "") / "qkd-macsec"
            wrapper.write_text(wrapper.read_text().replace(f'{BIN}/qkd-macsec "$@"', f'[[ $* == *faulty.report* ]] && exit 0\n{BIN}/qkd-macsec "$@"'))
            done, counts = faults(folder, out, "--case", CASE)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertEqual(counts["cases"], 0)
            self.assertIn("never struck", done.stdout)

    def test_unknown_names_and_programs(self):
        with tempfile.TemporaryDirectory() as out:
            self.assertEqual(faults(BIN, out, "--case", "nothing.of.this")[0].returncode, 2)
            self.assertEqual(faults(out, out, "--case", CASE)[0].returncode, 2)


if __name__ == "__main__":
    unittest.main()
