"""Swappable: in one lab, with one pipeline file, only the lines of a transport or a key source change, and every link is keyed."""
import importlib.machinery
import importlib.util
import re
import unittest

from qkd_lab import REPOSITORY, Lab, Wires, assert_secured

TRANSPORTS = {
    "keyid-memory": 'key_ids = { plugin = "keyid-memory" }',
    "keyid-scp": 'key_ids = { plugin = "keyid-scp", directory = "/var/tmp/qkd-macsec" }',
    "keyid-lldp": 'key_ids = { plugin = "keyid-lldp" }',
    "keyid-88b7": 'key_ids = { plugin = "keyid-88b7", secret = "env:LINK_SECRET", ports = '
                  '["mx304-11 et-0/0/0=wire0", "mx304-12 et-0/0/0=wire1"] }',
}
# What a KME's log shows when it is asked so.
SOURCES = {
    "kme-etsi014": ["/enc_keys", "/dec_keys"],
    "kme-skip": ["GET /key?remoteSystemID=", "GET /key/"],
    "kme-rest": ["POST /api/v1/keys/request", "GET /api/v1/keys/"],
    "kme-mock": [],
}
SECRET = {"LINK_SECRET": "the secret of this link, 32 octets"}


def described_api():
    """The lines by which kme-rest knows what the lab's KMEs speak."""
    loader = importlib.machinery.SourceFileLoader("lab", str(REPOSITORY / "scripts" / "lab"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("lab", loader))
    loader.exec_module(module)
    return module.outline_api()


def source_lines(name):
    return "\n".join([f'plugin = "{name}"', *(described_api() if name == "kme-rest" else [])])


class Swaps(unittest.TestCase):
    def swap(self, lab, original, transport, sources):
        """The lab's file with other lines for the link's transport and for each KME's plugin, and no other change."""
        names = iter(sources)
        text = re.sub(r"^key_ids = .*$", lambda _: TRANSPORTS[transport], original, flags=re.MULTILINE)
        text, tables = re.subn(r'^plugin = "kme-etsi014"$', lambda _: source_lines(next(names)), text, flags=re.MULTILINE)
        self.assertEqual(tables, len(sources))
        lab.pipeline_file.write_text(text)

    def rotate(self, lab, transport, sources):
        """One run: the link ends secured, by the plugins that were named, and the KMEs were asked in their APIs."""
        log = lab.folder / "kme" / "log"
        before = log.read_text()
        done = lab.run(env=SECRET)
        self.assertEqual(done.code, 0, done)
        assert_secured(self, lab, done)
        for member, source in zip(done.link()["members"], sources):
            used = {stage["kind"]: stage["plugin"] for stage in member["stages"]}
            self.assertEqual((used["key-id-transport"], used["key-source"]), (transport, source), done)
        asked = log.read_text()[len(before):]
        for source in set(sources):
            for word in SOURCES[source]:
                self.assertTrue(word in asked or len(set(sources)) > 1, f"{word} was not asked: {asked}")
        return done

    def test_every_transport_with_every_key_source(self):
        impossible = Wires.impossible()
        keys = set()
        with Wires(0 if impossible else 1), Lab("--rollover", "pre-shared-key") as lab:  # quick: no lead
            original = lab.pipeline_file.read_text()
            for source in SOURCES:
                for transport in TRANSPORTS:
                    with self.subTest(transport=transport, source=source):
                        if transport == "keyid-88b7" and impossible:
                            self.skipTest(impossible)
                        self.swap(lab, original, transport, [source, source])
                        done = self.rotate(lab, transport, [source, source])
                        keys.add(done.link()["ckn"])
                        issued = [line["key_ID"].replace("-", "") for line in lab.kme_audit() if line["event"] == "issued"]
                        self.assertEqual(source != "kme-mock", done.link()["key_id"].replace("-", "") in issued, done)
                online = lab.qkd("check", lab.pipeline_file, "--online", env=SECRET)
                self.assertEqual(online.code, 0, online)
        self.assertEqual(len(keys), len(SOURCES) * (len(TRANSPORTS) - bool(impossible)), "a new key each time")

    def test_two_vendors_at_the_ends_of_one_link(self):
        with Lab() as lab:
            original = lab.pipeline_file.read_text()
            for pair in (["kme-etsi014", "kme-skip"], ["kme-skip", "kme-rest"], ["kme-rest", "kme-etsi014"]):
                with self.subTest(" ".join(pair)):
                    self.swap(lab, original, "keyid-scp", pair)
                    self.rotate(lab, "keyid-scp", pair)

    def test_two_links_of_different_vendors_and_transports_in_one_run(self):
        with Lab("--devices", 4, "--kmes", 4) as lab:
            self.swap(lab, lab.pipeline_file.read_text(), "keyid-scp", ["kme-etsi014", "kme-etsi014", "kme-skip", "kme-rest"])
            head, scp, last = lab.pipeline_file.read_text().rpartition(TRANSPORTS["keyid-scp"])
            self.assertTrue(scp)
            lab.pipeline_file.write_text(head + TRANSPORTS["keyid-lldp"] + last)
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            used = set()
            for link in done.report["links"]:
                assert_secured(self, lab, done, link["name"])
                for member in link["members"]:
                    used |= {stage["plugin"] for stage in member["stages"]}
            self.assertLessEqual({"keyid-scp", "keyid-lldp", "kme-etsi014", "kme-skip", "kme-rest"}, used)

    def test_a_described_api_and_lldp_reach_every_member_of_a_row(self):
        with Lab("--demo", "--source", "kme-rest", "--transport", "keyid-lldp") as lab:
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            assert_secured(self, lab, done)
            fetched = [line["caller"] for line in lab.kme_audit() if line["event"] == "fetched"
                       and line["key_ID"] == done.link()["key_id"]]
            self.assertEqual(len(fetched), 4, "each member once, the initiator too")

    def test_a_third_member_is_too_many_for_skip(self):
        with Lab("--demo", "--source", "kme-skip") as lab:
            done = lab.run()
            self.assertEqual(done.code, 1, done)
            self.assertIn("SKIP gives each key to two ends", done.err + done.out)
            self.assertEqual([line for line in lab.kme_audit() if line["event"] == "issued"], [])

    def test_lldp_keeps_the_operators_description(self):
        with Lab("--transport", "keyid-lldp") as lab:
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
