"""The laws for device plugins, held against junos-netconf on a lab of simulated routers."""
import os
import subprocess
import unittest

from qkd_lab import BIN, DEADLINE, Lab


class JunosNetconf(unittest.TestCase):
    def test_keeps_every_law(self):
        self.keeps_every_law({})

    def test_keeps_every_law_on_the_router_itself(self):
        self.keeps_every_law({"QKD_CONFORMANCE_TRANSPORT": "local"})

    def keeps_every_law(self, environment):
        with Lab() as lab:
            done = subprocess.run([BIN / "qkd-conformance-tests", "--gtest_filter=*junos*"], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=DEADLINE, check=False,
                                  env={**os.environ, **environment, "QKD_CONFORMANCE_LAB": str(lab.folder)})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertNotIn("not tried: commit", done.stdout)
            self.assertNotIn("not tried: connect", done.stdout)


if __name__ == "__main__":
    unittest.main()
