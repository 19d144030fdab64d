"""Swappable by one line: transports and key sources, in the same lab with the same devices."""
import unittest

from qkd_lab import Lab, assert_secured


class OneLineSwaps(unittest.TestCase):
    def test_each_swap_rotates(self):
        with Lab("--demo") as lab:
            original = lab.pipeline_file.read_text()
            swaps = {
                "keyid-lldp": (r"^key_ids = .*$", 'key_ids = { plugin = "keyid-lldp" }'),
                "keyid-memory": (r"^key_ids = .*$", 'key_ids = { plugin = "keyid-memory" }'),
                "keyid-scp": (r"^key_ids = .*$", 'key_ids = { plugin = "keyid-scp", directory = "/var/tmp/qkd-macsec" }'),
            }
            keys = set()
            for name, (pattern, line) in swaps.items():
                with self.subTest(transport=name):
                    lab.change(pattern, line)
                    done = lab.run()
                    self.assertEqual(done.code, 0, done)
                    assert_secured(self, lab, done)
                    keys.add(done.link()["ckn"])
            self.assertEqual(len(keys), len(swaps))

            with self.subTest(source="kme-mock"):
                lab.pipeline_file.write_text(original)
                asked = len(lab.kme_audit())
                lab.change(r'^plugin = "kme-etsi014"$', 'plugin = "kme-mock"')
                done = lab.run()
                self.assertEqual(done.code, 0, done)
                assert_secured(self, lab, done)
                self.assertEqual(len(lab.kme_audit()), asked, "no KME was asked")

    def test_lldp_keeps_the_operators_description(self):
        with Lab() as lab:
            lab.change(r"^key_ids = .*$", 'key_ids = { plugin = "keyid-lldp" }')
            def descriptions():
                return {(d, e.findtext("name")): e.findtext("description") for d in lab.pipeline["device"]
                        for e in lab.state(d).iter("interface") if e.find("description") is not None}
            before = descriptions()
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            after = descriptions()
            for place, text in before.items():
                self.assertTrue((after[place] or "").startswith(text), f"{place}: {after[place]}")
            self.assertTrue(any(done.link()["key_id"] in (text or "") for text in after.values()), after)

            # A rotation that fails takes the notice back.
            lab.kme_faults({"call": "dec_keys", "every": True, "action": "error", "status": 503, "message": "no keys today"})
            lab.change(r'^dec_retry_window = .*$', 'dec_retry_window = "0s"')
            failed = lab.run()
            self.assertEqual(failed.code, 1, failed)
            self.assertEqual(failed.link()["result"], "reverted", failed)
            self.assertEqual(descriptions(), after)


if __name__ == "__main__":
    unittest.main()
