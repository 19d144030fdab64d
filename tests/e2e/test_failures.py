"""One member or one KME fails: the link goes back on all members, the others go on, and the report says so."""
import unittest

from qkd_lab import Lab, assert_secured, lab_command


class OneKmeFails(unittest.TestCase):
    def test_its_link_fails_with_the_kmes_own_message_and_the_other_rotates(self):
        with Lab("--devices", "4", "--kmes", "4") as lab:
            first = lab.run()
            self.assertEqual(first.code, 0, first)
            good, bad = (link["name"] for link in lab.pipeline["link"])
            kme = next(l for l in lab.pipeline["link"] if l["name"] == bad)["initiator"]["kme"]
            lab.kme_faults({"kme": kme, "call": "enc_keys", "every": True, "action": "error", "status": 503,
                            "message": "quantum channel is dark"})
            states = {device: lab.mka(device) for device in lab.pipeline["device"]}
            done = lab.run()
            self.assertEqual(done.code, 1, done)
            self.assertEqual(done.report["result"], "partial")
            assert_secured(self, lab, done, good)
            link = done.link(bad)
            self.assertIn(link["result"], ("failed", "reverted"))
            self.assertIn("quantum channel is dark", link["error"]["what"], done)
            self.assertIn("quantum channel is dark", done.out + done.err)
            self.assertTrue(link["error"]["hint"])
            for member in link["members"]:
                self.assertEqual(lab.mka(member["device"]), states[member["device"]], "the working key stays")


class OneMemberFails(unittest.TestCase):
    def test_each_failing_commit_step_reverts_both_ends(self):
        with Lab() as lab:
            self.assertEqual(lab.run().code, 0)
            victim = list(lab.pipeline["device"])[1]
            cases = [
                ("commit check", {"rpc": "commit-configuration", "when": {"commit_kind": "check"}, "action": "error",
                                  "message": "configuration check-out failed"}),
                ("load", {"rpc": "load-configuration", "action": "error", "message": "syntax error"}),
                ("commit confirmed", {"rpc": "commit-configuration", "when": {"commit_kind": "confirmed"}, "action": "error",
                                      "message": "commit failed"}),
                ("answer to the commit lost", {"rpc": "commit-configuration", "when": {"commit_kind": "confirmed"},
                                               "action": "drop", "phase": "after"}),
                ("connection lost at the commit", {"rpc": "commit-configuration", "when": {"commit_kind": "confirmed"},
                                                   "action": "drop", "phase": "before"}),
            ]
            for name, fault in cases:
                with self.subTest(name):
                    before = {d: (lab.mka(d), lab.secrets_of(d)) for d in lab.pipeline["device"]}
                    lab.faults(victim, {**fault, "nth": 1})
                    done = lab.run()
                    lab.faults(victim)
                    if done.link()["result"] == "rotated":  # a lost answer may be found out
                        self.assertEqual(name, "answer to the commit lost", done)
                        assert_secured(self, lab, done)
                        continue
                    self.assertEqual(done.code, 1, done)
                    self.assertEqual(done.link()["result"], "reverted", done)
                    self.assertIn(victim, done.link()["error"]["what"])
                    for device, (mka, secrets) in before.items():
                        self.assertEqual(lab.mka(device), mka, f"{name}: {device}\n{done}")
                        self.assertEqual(lab.secrets_of(device), secrets, f"{name}: {device}\n{done}")
            again = lab.run()
            self.assertEqual(again.code, 0, again)
            assert_secured(self, lab, again)

    def test_a_member_that_is_off_stops_its_link_only(self):
        with Lab("--devices", "4") as lab:
            self.assertEqual(lab.run().code, 0)
            good, bad = (link["name"] for link in lab.pipeline["link"])
            off = lab.pipeline["link"][1]["responders"][0]["device"]
            lab_command("stop", lab.folder, off)
            lab.change(r"^retry = .*$", 'retry = { attempts = 1, backoff = "1s" }')
            done = lab.run()
            self.assertEqual(done.code, 1, done)
            assert_secured(self, lab, done, good)
            self.assertEqual(done.link(bad)["result"], "failed")
            self.assertIn(off, done.link(bad)["error"]["what"])
            lab_command("start", lab.folder, off)
            again = lab.run()
            self.assertEqual(again.code, 0, again)


if __name__ == "__main__":
    unittest.main()
