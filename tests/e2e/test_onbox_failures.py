"""On-box, with a member missing or killed."""
import os
import re
import signal
import unittest

from onbox_lab import OFFERS, OnboxLab, OnboxTest, Process
from qkd_lab import lab_command


class OnboxFailures(OnboxTest):
    def test_one_is_missing(self):
        with OnboxLab("--demo") as lab:
            initiator, *responders = lab.pipeline["device"]
            before = self.assert_rotated(lab, lab.everyone(responders))
            for device in lab.pipeline["device"]:
                lab.write(device, wait='"1m"')

            # Nobody offers a key.
            alone = Process(lab, responders[0]).end()
            self.assertEqual((alone.code, alone.link["result"], alone.link["ckn"]), (0, "unchanged", before), alone)
            self.assertEqual(lab.live_keys(), {("secured", before)})

            # One responder does not come.
            some = [Process(lab, device) for device in (initiator, *responders[:-1])]
            for process in some:
                process.end()
                self.assertEqual(process.code, 1, process)
            # On a slow machine others may be late as well.
            self.assertRegex(some[0].link["error"]["what"], rf"no answer from .*{re.escape(responders[-1])}")
            self.assertIn("--as", some[0].link["error"]["hint"])
            self.assertEqual(lab.live_keys(), {("secured", before)})

            for device in lab.pipeline["device"]:
                lab.write(device)
            self.assertNotEqual(self.assert_rotated(lab, lab.everyone(responders)), before)

    def test_killed_in_the_middle(self):
        with OnboxLab() as lab:
            initiator, responder = lab.pipeline["device"]
            self.assert_rotated(lab, lab.everyone([responder]))
            before = self.assert_rotated(lab, lab.everyone([responder]))
            for victim, moment in ((initiator, OFFERS), (initiator, "step confirm"), (responder, "step confirm")):
                with self.subTest(victim=victim, moment=moment):
                    # Long enough for a slow machine to get to the moment, and what the survivor waits.
                    lab.write(initiator, wait='"3m"')
                    lab.write(responder, wait='"3m"')
                    processes = [Process(lab, responder)]
                    if (victim, moment) != (initiator, OFFERS):
                        processes.append(Process(lab, initiator))
                    else:
                        processes.insert(0, Process(lab, initiator))
                    killed = next(process for process in processes if process.device == victim)
                    killed.says(moment)
                    os.kill(killed.child.pid, signal.SIGKILL)
                    for process in processes:
                        process.end()
                    self.assertEqual(killed.code, -signal.SIGKILL)
                    # The devices' timers run out; whatever they are on then, it is common to both.
                    lab_command("advance", lab.folder, 600)
                    lab_command("advance", lab.folder, 600)
                    self.assertEqual(len(lab.live_keys()), 1, f"{killed}")
                    self.assertNotIn("down", {state for state, _ in lab.live_keys()})
                    lab.write(initiator)
                    lab.write(responder)
                    after = self.assert_rotated(lab, lab.everyone([responder]))
                    self.assertNotEqual(after, before)
                    before = after

if __name__ == "__main__":
    unittest.main()
