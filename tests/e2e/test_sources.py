"""Every key source keys a link, alone and with another vendor's at the other end."""
import unittest

from qkd_lab import Lab, assert_secured


class Sources(unittest.TestCase):
    def rotate(self, lab, api):
        """A rotation whose KMEs were asked through `api` only: a word of the paths in their log."""
        before = (lab.folder / "kme" / "log").read_text()
        done = lab.run()
        self.assertEqual(done.code, 0, done)
        assert_secured(self, lab, done)
        asked = (lab.folder / "kme" / "log").read_text()[len(before):]
        for word in api:
            self.assertIn(word, asked)
        issued = [line for line in lab.kme_audit() if line["event"] == "issued"]
        self.assertEqual(issued[-1]["key_ID"].replace("-", ""), done.link()["key_id"].replace("-", ""), done)
        return done

    def test_one_word_switches_to_skip_and_back(self):
        with Lab() as lab:
            self.rotate(lab, ["/enc_keys", "/dec_keys"])
            lab.change(r'^plugin = "kme-etsi014"$', 'plugin = "kme-skip"')
            online = lab.qkd("check", lab.pipeline_file, "--online")
            self.assertEqual(online.code, 0, online)
            self.rotate(lab, ["GET /key?remoteSystemID=", "GET /key/"])
            lab.change(r'^plugin = "kme-skip"$', 'plugin = "kme-etsi014"')
            self.rotate(lab, ["/enc_keys", "/dec_keys"])

    def test_a_described_api_with_several_responders(self):
        with Lab("--demo", "--source", "kme-rest") as lab:
            online = lab.qkd("check", lab.pipeline_file, "--online")
            self.assertEqual(online.code, 0, online)
            done = self.rotate(lab, ["POST /api/v1/keys/request", "POST /api/v1/keys/exchange", "/status"])
            fetched = [line["caller"] for line in lab.kme_audit() if line["event"] == "fetched"
                       and line["key_ID"] == done.link()["key_id"]]
            self.assertEqual(len(fetched), 4, "each member once, the initiator too")

    def test_a_third_member_is_too_many_for_skip(self):
        with Lab("--demo", "--source", "kme-skip") as lab:
            done = lab.run()
            self.assertEqual(done.code, 1, done)
            self.assertIn("SKIP gives each key to two ends", done.err + done.out)
            self.assertEqual([line for line in lab.kme_audit() if line["event"] == "issued"], [])

    def test_two_vendors_at_the_ends_of_one_link(self):
        for pair in ("kme-skip,kme-etsi014", "kme-rest,kme-skip", "kme-etsi014,kme-rest"):
            with self.subTest(pair), Lab("--source", pair) as lab:
                self.rotate(lab, [])


if __name__ == "__main__":
    unittest.main()
