"""scripts/demo does what it says and leaves nothing behind."""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from qkd_lab import BIN, DEADLINE, REPOSITORY


@unittest.skipUnless(BIN == REPOSITORY / "build" / "release" / "bin", "the demo runs the release build")
class Demo(unittest.TestCase):
    def test_rotates_twice_and_ends_its_lab(self):
        with tempfile.TemporaryDirectory(prefix="qkd-demo-test-") as folder:
            done = subprocess.run([REPOSITORY / "scripts" / "demo"], cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=DEADLINE, check=False, env={**os.environ, "TMPDIR": folder})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(done.stdout.count("success: 1 link, 1 rotated"), 2, done.stdout)
            self.assertEqual(os.listdir(folder), [], "the lab's folder goes with the lab")
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.assertNotIn(folder.encode(), entry.read_bytes())
                except (FileNotFoundError, ProcessLookupError):
                    continue


if __name__ == "__main__":
    unittest.main()
