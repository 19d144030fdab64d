"""kill -9, a second process, withdraw: what the next run finds and makes of it."""
import json
import signal
import subprocess
import unittest

from qkd_lab import DEADLINE, Lab, assert_secured, lab_command, signal_at


def kill_at(lab, step):
    """Starts a run and kills it when a member begins `step`; whether that was seen, and the last lines of its log."""
    _, seen, log = signal_at(lab, step, signal.SIGKILL)
    return seen, "\n".join(log.splitlines()[-20:])


def audit(lab):
    return [json.loads(line) for line in (lab.folder / "state" / "audit.jsonl").read_text().splitlines()]


def journals(lab):
    return list((lab.folder / "state" / "journal").glob("*.journal"))


class Crash(unittest.TestCase):
    def test_the_next_run_uses_the_very_key_of_a_killed_one(self):
        for rollover in ("key-chain", "pre-shared-key"):
            with self.subTest(rollover=rollover), Lab("--rollover", rollover) as lab:
                self.assertEqual(lab.run().code, 0)
                for step in ("announce", "acknowledge", "stage", "commit-confirmed", "confirm"):
                    with self.subTest(step=step):
                        seen, log = kill_at(lab, step)
                        self.assertTrue(seen, log)
                        minted = [line for line in audit(lab) if line["event"] == "minted"][-1]
                        self.assertEqual(len(journals(lab)), 1)
                        again = lab.run("-v")
                        assert_secured(self, lab, again)
                        self.assertEqual(again.link()["key_id"], minted["key_id"], again)
                        self.assertIn("resolving what it left", again.err)
                        self.assertEqual(journals(lab), [])
                handed_out = [entry.get("key_ID") or entry.get("key_id") for entry in lab.kme_audit()]
                self.assertTrue(handed_out)

    def test_a_second_process_is_told_who_has_the_state_and_since_when(self):
        with Lab() as lab:
            child = subprocess.Popen(lab.command("run", lab.pipeline_file, "-vvv"), cwd=lab.folder, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                for line in child.stderr:
                    if "step reserve" in line:
                        break
                second = lab.run()
                self.assertEqual(second.code, 1, second)
                error = second.link()["error"]
                self.assertEqual(error["code"], "busy")
                self.assertIn(f"process {child.pid} ", error["what"])
                self.assertRegex(error["what"], r"since \d{4}-\d\d-\d\dT")
                child.stderr.read()
                self.assertEqual(child.wait(timeout=DEADLINE), 0)
            finally:
                if child.poll() is None:
                    child.kill()
                    child.wait(timeout=DEADLINE)
                child.stderr.close()

    def test_withdraw_takes_a_pending_key_from_all_members(self):
        with Lab("--lead", "1200s", waits=True) as lab:
            self.assertEqual(lab.qkd("withdraw", lab.pipeline_file).code, 2)
            lab.change(r'^kind = "commit"$', 'kind = "commit"\nverify = "next-run"')
            first = lab.run()
            self.assertEqual(first.link()["result"], "pending", first)
            lab_command("advance", lab.folder, 1300)
            pending = lab.run()
            self.assertEqual(pending.link()["result"], "pending", pending)
            self.assertEqual(pending.link()["previous_key_id"], first.link()["key_id"], pending)
            gone = lab.qkd("withdraw", lab.pipeline_file, "--link", pending.link()["name"])
            self.assertEqual(gone.code, 0, gone)
            self.assertIn("withdrawn", gone.out)
            for device in lab.pipeline["device"]:
                texts = [element.text for element in lab.state(device).iter()]
                self.assertNotIn(pending.link()["ckn"], texts, device)
                self.assertIn(first.link()["ckn"], texts, device)
            self.assertEqual(audit(lab)[-1]["event"], "withdrawn")
            self.assertEqual(audit(lab)[-1]["key_id"], pending.link()["key_id"])
            nothing = lab.qkd("withdraw", lab.pipeline_file, "--link", pending.link()["name"])
            self.assertEqual(nothing.code, 0, nothing)
            self.assertIn("nothing pending", nothing.out)


if __name__ == "__main__":
    unittest.main()
