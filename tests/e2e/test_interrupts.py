"""SIGINT at each step of the protocol: what is not confirmed goes back, what is confirmed is withdrawn or finished."""
import json
import signal
import unittest

from qkd_lab import Lab, assert_secured, signal_at

STEPS = ["connect", "read", "certs", "initial-config", "mint", "announce", "receive", "fetch", "stage", "commit-confirmed",
         "read-back", "confirm", "verify"]


def interrupt_at(lab, step):
    """Starts a run, sends SIGINT when `step` begins, and waits for the end: (exit code, whether the step was seen, report)."""
    report = lab.folder / "interrupted.json"
    report.unlink(missing_ok=True)
    code, seen, log = signal_at(lab, step, signal.SIGINT, "--report", report)
    return code, seen, json.loads(report.read_text()) if report.exists() else None, log


class Interrupts(unittest.TestCase):
    def check(self, rollover):
        with Lab("--rollover", rollover, waits=True) as lab:
            first = lab.run()
            self.assertEqual(first.code, 0, first)
            for step in STEPS:
                with self.subTest(step=step, rollover=rollover):
                    before = {d: lab.mka(d) for d in lab.pipeline["device"]}
                    code, seen, report, log = interrupt_at(lab, step)
                    self.assertTrue(seen, f"no line of step {step}\n{log}")
                    self.assertEqual(code, 130, log)
                    self.assertEqual(report["result"], "interrupted")
                    link = report["links"][0]
                    self.assertIn(link["result"], ("reverted", "failed", "rotated"), log)
                    states = {d: lab.mka(d) for d in lab.pipeline["device"]}
                    if link["result"] == "rotated":
                        self.assertIn(link["ckn"], str(states))
                    else:
                        self.assertEqual(states, before, log)
                        for device in lab.pipeline["device"]:
                            self.assertNotIn(link["ckn"] or "no such key", str([e.text for e in lab.state(device).iter()]), log)
            again = lab.run()
            self.assertEqual(again.code, 0, again)
            assert_secured(self, lab, again)

    def test_key_chain(self):
        self.check("key-chain")

    def test_pre_shared_key(self):
        self.check("pre-shared-key")


if __name__ == "__main__":
    unittest.main()
