"""Failures that other tools had with real devices, as far as they need devices to be shown; the rest is in
tests/unit/test_field_failures.cpp. Each test is named after the failure that must not happen."""
import re
import unittest
from datetime import datetime

from qkd_lab import Lab, lab_command


def without_keys(state):
    """The configuration of a device with everything that a new key changes left out."""
    for parent in list(state.iter()):
        for child in list(parent):
            if child.tag in ("authentication-key-chains", "fallback-key", "pre-shared-key", "mka"):
                parent.remove(child)
    configuration = next(state.iter("configuration"))
    return sorted("/".join((e.tag, (e.text or "").strip())) for e in configuration.iter())


def chain_starts(state):
    """{CKN: start-time as the device writes it} of the key chain."""
    return {key.findtext("key-name"): key.findtext("start-time") for key in state.iter("key") if key.find("key-name") is not None}


class FieldFailures(unittest.TestCase):
    def test_changing_keys_never_binds_an_interface_anew(self):
        with Lab() as lab:
            self.assertEqual(lab.run().code, 0)
            before = {device: without_keys(lab.state(device)) for device in lab.pipeline["device"]}
            self.assertTrue(any("connectivity-association" in line for line in before["mx304-11"]))
            for _ in range(2):
                self.assertEqual(lab.run().code, 0)
            after = {device: without_keys(lab.state(device)) for device in lab.pipeline["device"]}
            self.assertEqual(before, after)

    def test_a_start_time_in_another_zone_is_the_same_instant_and_ahead(self):
        with Lab("--zones", "Europe/Berlin,America/New_York", "--lead", "600s", waits=True) as lab:
            lab.change(r'^kind = "commit"$', 'kind = "commit"\nverify = "next-run"')
            done = lab.run()
            self.assertEqual((done.code, done.link()["result"]), (0, "pending"), done)
            start = datetime.fromisoformat(done.link()["start_time"].replace("Z", "+00:00"))
            instants, texts = set(), set()
            for device in lab.pipeline["device"]:
                text = chain_starts(lab.state(device))[done.link()["ckn"]]
                texts.add(text.split(" ")[0])
                match = re.fullmatch(r"(\d{4}-\d\d-\d\d)\.(\d\d:\d\d(?::\d\d)?) ([+-]\d{4})", text)
                self.assertTrue(match, text)
                day, clock, offset = match.groups()
                clock += ":00" if clock.count(":") == 1 else ""
                instants.add(datetime.strptime(f"{day} {clock} {offset}", "%Y-%m-%d %H:%M:%S %z"))
            self.assertEqual(instants, {start})
            self.assertEqual(len(texts), 2, "the devices write the instant in their own zones")
            active = {device: {ckn for _, ckn in lab.mka(device).values()} for device in lab.pipeline["device"]}
            self.assertTrue(all(done.link()["ckn"] not in ckns for ckns in active.values()), active)
            lab_command("advance", lab.folder, 700)
            for device in lab.pipeline["device"]:
                self.assertEqual(set(lab.mka(device).values()), {("secured", done.link()["ckn"])}, device)


if __name__ == "__main__":
    unittest.main()
