"""The first configuration: written once, seen in the plan, and what a device says about its KME is obeyed."""
import re
import unittest
from xml.etree import ElementTree

from qkd_lab import Lab, assert_secured

KEY_PARTS = ("key-name", "secret", "start-time")


def without_keys(state):
    """A device's configuration as text, every key of a chain gone."""
    configuration = state.find("configuration")
    for chain in configuration.iter("key-chain"):
        for key in chain.findall("key"):
            assert {part.tag for part in key} <= {"name", *KEY_PARTS}
            chain.remove(key)
    return ElementTree.tostring(configuration, encoding="unicode")


def put_macro(lab, device, **values):
    """Writes apply-macro qkd into the configuration that the device comes with, for each of its interfaces in a link."""
    path = lab.folder / "devices" / device / "running.xml"
    data = "".join(f"<data><name>{name.replace('_', '-')}</name><value>{value}</value></data>" for name, value in values.items())
    link = lab.pipeline["link"][0]
    member = next(m for m in [link["initiator"], *link["responders"]] if m["device"] == device)
    interfaces = "".join(f"<interfaces><name>{name}</name><apply-macro><name>qkd</name>{data}</apply-macro></interfaces>"
                         for name in member["interfaces"])
    text = path.read_text()
    assert "<security>" not in text
    path.write_text(text.replace("</configuration>", f"<security><macsec>{interfaces}</macsec></security></configuration>"))


class InitialConfig(unittest.TestCase):
    def test_a_second_run_changes_only_keys(self):
        with Lab() as lab:
            lab.change(r'^(known_hosts = .*)$',
                       r'\1\nhost_mappings = ["kme-1=192.0.2.21"]\nevent_script = "qkd-macsec.py"\n'
                       r'event_start = "2026-01-02.03:04:05"')
            plan = lab.qkd("plan", lab.pipeline_file)
            self.assertEqual(plan.code, 0, plan)
            for line in ("cipher-suite gcm-aes-xpn-256", "security-mode static-cak", "apply-macro qkd kme-host 127.0.0.1",
                         "apply-macro qkd kme-port", "apply-macro qkd kme-method get", "apply-macro qkd kme-ca true",
                         "apply-macro qkd kme-keyid-check true", "static-host-mapping kme-1 inet 192.0.2.21",
                         "generate-event qkd-macsec time-interval 600", "generate-event qkd-macsec start-time",
                         "policy qkd-macsec then event-script qkd-macsec.py", "pre-shared-key-chain"):
                self.assertIn(line, plan.out, plan)
            first = lab.run()
            self.assertEqual(first.code, 0, first)
            assert_secured(self, lab, first)
            before = {device: without_keys(lab.state(device)) for device in lab.pipeline["device"]}
            for text in before.values():
                self.assertIn("qkd-macsec.py", text)
                self.assertNotIn("abcd1234abcd5678", text, "no published example key")
            plan = lab.qkd("plan", lab.pipeline_file)
            sets = [line.strip() for line in plan.out.splitlines() if line.strip().startswith(("set ", "delete "))]
            self.assertTrue(sets, plan)
            for line in sets:
                self.assertRegex(line, "^(set|delete) security authentication-key-chains key-chain QKD_CA_basic key ")
            second = lab.run()
            self.assertEqual(second.code, 0, second)
            assert_secured(self, lab, second)
            self.assertNotEqual(first.link()["ckn"], second.link()["ckn"])
            for device, text in before.items():
                self.assertEqual(without_keys(lab.state(device)), text)


class Overrides(unittest.TestCase):
    def test_what_the_device_says_takes_the_place_of_the_pipeline(self):
        with Lab() as lab:
            initiator, responder = lab.pipeline["device"]
            urls = {name: table["url"] for name, table in lab.pipeline["kme"].items()}
            port = urls["kme-2"].rsplit(":", 1)[1]
            put_macro(lab, responder, kme_port=port, kme_method="post", kme_ca="false")
            lab.change(re.escape(urls["kme-2"]), "https://127.0.0.1:9")  # nobody listens there
            done = lab.run("-vvv")
            self.assertEqual(done.code, 0, done)
            assert_secured(self, lab, done)
            self.assertRegex(done.err, rf"POST https://127.0.0.1:{port}/api/v1/keys/{initiator}/dec_keys")
            self.assertRegex(done.err, r"GET \S+/enc_keys", "an initiator has no use for kme-method")
            self.assertIn("not obeyed", done.err)
            again = lab.run()
            self.assertEqual(again.code, 0, again)
            values = {data.findtext("name"): data.findtext("value") for data in lab.state(responder).iter("data")}
            self.assertEqual((values["kme-port"], values["kme-method"], values["kme-ca"]), (port, "post", "false"))
            self.assertEqual(values["kme-keyid-check"], "true")

    def test_a_word_that_cannot_be_understood_stops_the_link_before_anything_is_touched(self):
        with Lab() as lab:
            _, responder = lab.pipeline["device"]
            put_macro(lab, responder, kme_port="abc")
            done = lab.run()
            self.assertEqual(done.code, 1, done)
            self.assertEqual(done.link()["result"], "failed")
            self.assertIn("'abc'", done.link()["error"]["what"])
            self.assertEqual([line for line in lab.kme_audit() if line["event"] == "issued"], [])


if __name__ == "__main__":
    unittest.main()
