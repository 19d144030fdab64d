"""The main job: four routers on one link, two KMEs, and what a person or a program is told about it."""
import json
import unittest

from qkd_lab import Lab, assert_secured, lab_command

STAGES = ["connect", "certs", "initial-config", "key-source", "key-id-transport", "commit", "persist"]


class FourRouters(unittest.TestCase):
    def test_from_bare_devices_to_the_third_key(self):
        with Lab("--demo") as lab:
            check = lab.qkd("check", lab.pipeline_file)
            self.assertEqual(check.code, 0, check)
            online = lab.qkd("check", lab.pipeline_file, "--online")
            self.assertEqual(online.code, 0, online)

            before = {device: lab.state(device).find("configuration") for device in lab.pipeline["device"]}
            plan = lab.qkd("plan", lab.pipeline_file)
            self.assertEqual(plan.code, 0, plan)
            for device in lab.pipeline["device"]:
                self.assertIn(device, plan.out)
                self.assertIsNotNone(before[device])
            self.assertIn("set security macsec connectivity-association", plan.out)
            self.assertEqual(lab.kme_audit(), [], "a plan mints nothing")
            down = lab.qkd("status", lab.pipeline_file)
            self.assertEqual(down.code, 1, down)

            first = lab.run()
            self.assertEqual(first.code, 0, first)
            assert_secured(self, lab, first)
            self.check_report(lab, first, previous=None)

            status = lab.qkd("status", lab.pipeline_file, "--json")
            self.assertEqual(status.code, 0, status)
            self.assertIn(first.link()["key_id"], status.out)
            json.loads(status.out)

            previous = first
            for _ in range(2):
                again = lab.run()
                self.assertEqual(again.code, 0, again)
                assert_secured(self, lab, again)
                self.assertNotEqual(again.link()["ckn"], previous.link()["ckn"])
                self.check_report(lab, again, previous=previous.link()["key_id"])
                previous = again
            plan = lab.qkd("run", lab.pipeline_file, "--dry-run")
            self.assertEqual(plan.code, 0, plan)
            self.assertNotIn("cipher-suite", plan.out, "what is configured already is no part of the difference")

    def check_report(self, lab, outcome, previous):
        report = outcome.report
        self.assertEqual((report["schema"], report["pipeline"], report["result"]), (1, "lab", "success"))
        link = report["links"][0]
        self.assertEqual(link["previous_key_id"], previous)
        self.assertRegex(link["ckn"], "^[0-9a-f]{64}$")
        self.assertEqual(link["rollover"], "key-chain")
        self.assertRegex(link["start_time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertGreater(link["out_of_sync_ms"], 0)
        self.assertIsNotNone(link["clock_skew_ms"])
        self.assertIsNone(link["error"])
        issued = [line["key_ID"] for line in lab.kme_audit() if line["event"] == "issued"]
        self.assertIn(link["key_id"], issued)
        self.assertEqual([m["role"] for m in link["members"]], ["initiator", "responder", "responder", "responder"])
        for member in link["members"]:
            self.assertEqual([stage["kind"] for stage in member["stages"]], STAGES)
            for stage in member["stages"]:
                self.assertEqual(stage["result"], "ok", outcome)
                self.assertGreaterEqual(stage["attempts"], 1)
                self.assertTrue(stage["plugin"], outcome)
            for interface in member["interfaces"]:
                self.assertEqual((interface["mka"], interface["ckn"]), ("secured", link["ckn"]))


class PreSharedKey(unittest.TestCase):
    def test_three_rotations_keep_the_replaced_key_as_fallback(self):
        with Lab("--rollover", "pre-shared-key") as lab:
            last = None
            for _ in range(3):
                done = lab.run()
                self.assertEqual(done.code, 0, done)
                assert_secured(self, lab, done)
                self.assertEqual(done.link()["rollover"], "pre-shared-key")
                self.assertIsNone(done.link()["start_time"])
                for device in lab.pipeline["device"]:
                    fallback = lab.state(device).find(".//fallback-key/ckn")
                    self.assertIsNotNone(fallback)
                    if last:
                        self.assertEqual(fallback.text.lower(), last)
                last = done.link()["ckn"]


class Policies(unittest.TestCase):
    def test_the_rollover_is_switched_by_one_word_and_back(self):
        with Lab() as lab:
            for rollover in ("key-chain", "pre-shared-key", "key-chain"):
                lab.change(r'^rollover = .*$', f'rollover = "{rollover}"')
                done = lab.run()
                self.assertEqual(done.code, 0, done)
                assert_secured(self, lab, done)
                self.assertEqual(done.link()["rollover"], rollover)

    def test_a_key_left_for_the_next_run_is_pending_and_then_taken_over(self):
        with Lab(waits=True) as lab:
            first = lab.run()
            self.assertEqual(first.code, 0, first)
            lab.change(r'^rollover = .*$', 'rollover = "key-chain"\nverify = "next-run"')
            pending = lab.run()
            self.assertEqual(pending.code, 0, pending)
            self.assertEqual(pending.link()["result"], "pending")
            self.assertEqual(pending.link()["previous_key_id"], first.link()["key_id"])
            status = lab.qkd("status", lab.pipeline_file, "--json")
            self.assertIn(first.link()["key_id"], status.out)
            lab_command("advance", lab.folder, "600")
            status = lab.qkd("status", lab.pipeline_file, "--json")
            self.assertEqual(status.code, 0, status)
            self.assertIn(pending.link()["key_id"], status.out)
            lab.change(r'^verify = .*\n', "")
            last = lab.run()
            self.assertEqual(last.code, 0, last)
            assert_secured(self, lab, last)
            self.assertEqual(last.link()["previous_key_id"], pending.link()["key_id"])


if __name__ == "__main__":
    unittest.main()
