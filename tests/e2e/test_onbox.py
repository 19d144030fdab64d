"""On-box: every member is driven by a process of its own, over a pipe, and they meet only through the key_ID transport."""
import json
import re
import tempfile
import unittest

from onbox_lab import OFFERS, WAITS, OnboxLab, OnboxTest


class Onbox(OnboxTest):
    def test_one_initiator_and_three_responders_in_any_order(self):
        with OnboxLab("--demo") as lab:
            initiator, *responders = lab.pipeline["device"]
            seen = {self.assert_rotated(lab, lab.everyone(responders, after=WAITS)),
                    self.assert_rotated(lab, lab.everyone([initiator], after=OFFERS)),
                    self.assert_rotated(lab, lab.everyone([*responders[1:]], after=WAITS))}
            self.assertEqual(len(seen), 3)

    def test_three_whoever_comes_last(self):
        topology = {"devices": [{"name": name, "kme": kme} for name, kme in (("r1", 1), ("r2", 2), ("r3", 2))],
                    "wires": [["r1", "et-0/0/0", "r2", "et-0/0/0"], ["r1", "et-0/0/1", "r3", "et-0/0/0"]],
                    "links": [{"initiator": {"device": "r1", "interfaces": ["et-0/0/0", "et-0/0/1"]},
                               "responders": [{"device": name, "interfaces": ["et-0/0/0"]} for name in ("r2", "r3")]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(topology, file)
            file.flush()
            with OnboxLab("--topology", file.name) as lab:
                seen = {self.assert_rotated(lab, lab.everyone(["r2", "r3"], after=WAITS)),
                        self.assert_rotated(lab, lab.everyone(["r1"], after=OFFERS)),
                        self.assert_rotated(lab, lab.everyone(["r3"], after=WAITS))}
                self.assertEqual(len(seen), 3)

    def test_two_over_lldp_and_as_the_script_changed_keys(self):
        with OnboxLab("--rollover", "pre-shared-key") as lab:
            initiator, responder = lab.pipeline["device"]
            first = self.assert_rotated(lab, lab.everyone([responder], after=WAITS))
            # Each makes what its own SAE lacks.
            for name in (f"{initiator}.crt", f"{initiator}.key", f"{responder}.crt"):
                (lab.folder / "certs" / name).unlink()
            second = self.assert_rotated(lab, lab.everyone([initiator], after=OFFERS))
            self.assertNotEqual(first, second)
        with OnboxLab(key_ids='plugin = "keyid-lldp", acknowledge = true') as lab:
            initiator, responder = lab.pipeline["device"]
            first = self.assert_rotated(lab, lab.everyone([responder], after=WAITS))
            second = self.assert_rotated(lab, lab.everyone([initiator], after=OFFERS))
            self.assertNotEqual(first, second)

    def test_what_cannot_work_is_refused_before_anything_is_touched(self):
        with OnboxLab() as lab:
            initiator, responder = lab.pipeline["device"]
            file = lab.file_of(initiator)
            for words, said in ((("run", file), "--as DEVICE"), (("run", file, "--as", "nobody"), responder),
                                (("run", lab.pipeline_file, "--as", initiator), "offbox")):
                done = lab.qkd(*words)
                self.assertEqual(done.code, 2, done)
                self.assertIn(said, done.err)
            file.write_text(re.sub(r', secret = "[^"]*"', "", file.read_text()))
            done = lab.qkd("check", file)
            self.assertEqual(done.code, 2, done)
            self.assertIn("missing key 'secret'", done.out)
            # The other commands know their side as well.
            lab.write(initiator)
            done = lab.qkd("status", file, "--as", initiator, "--json")
            self.assertEqual([m["device"] for m in json.loads(done.out)["links"][0]["members"]], [initiator], done)
            done = lab.qkd("check", file, "--online", "--as", initiator)
            self.assertEqual(done.code, 0, done)
            self.assertNotIn(f"device {responder}", done.out)


if __name__ == "__main__":
    unittest.main()
