"""Devices as they stand in the field: one in several links, channels of a port, two routing engines whose name is in the
host name, selected by name, or with the program running on them."""
import json
import tempfile
import unittest
from pathlib import Path

from qkd_lab import Lab, lab_command

HUB, LEFT, RIGHT = "mx304-11", "mx304-12", "mx304-13"
TOPOLOGY = {
    "devices": [{"name": HUB, "kme": 1, "routing_engines": 2}, {"name": LEFT, "kme": 2}, {"name": RIGHT, "kme": 2}],
    "wires": [[HUB, "et-0/0/20:2", LEFT, "et-0/0/20:0"], [HUB, "et-0/0/20:3", RIGHT, "xe-0/1/1:1"]],
    "links": [{"name": "left", "connectivity_association": "CA_1",
               "initiator": {"device": HUB, "interfaces": ["et-0/0/20:2"]},
               "responders": [{"device": LEFT, "interfaces": ["et-0/0/20:0"]}]},
              {"name": "right", "connectivity_association": "CA_2",
               "initiator": {"device": RIGHT, "interfaces": ["xe-0/1/1:1"]},
               "responders": [{"device": HUB, "interfaces": ["et-0/0/20:3"]}]}],
}
REFUSED = {"rpc": "commit-configuration", "when": {"synchronize": True}, "action": "error",
           "message": "remote commit-configuration failed on re1"}


class Devices(unittest.TestCase):
    def lab(self, *options):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as topology:
            json.dump(TOPOLOGY, topology)
            topology.flush()
            lab = self.enterContext(Lab("--topology", topology.name, *options))
        for name in (HUB, LEFT, RIGHT):
            running = lab.folder / "devices" / name / "running.xml"
            running.write_text(running.read_text().replace(f"<host-name>{name}<", f"<host-name>{name}-re0<"))
        return lab

    def test_one_device_in_two_links_takes_its_turns(self):
        for transport in ("keyid-scp", "keyid-lldp"):
            with self.subTest(transport):
                lab = self.lab("--transport", transport)
                for _ in range(2):
                    outcome = lab.run("-vv")
                    self.assertEqual(outcome.code, 0, outcome)
                    self.assertEqual({link["name"]: link["result"] for link in outcome.report["links"]},
                                     {"left": "rotated", "right": "rotated"})
                    self.assertNotIn("locked by", outcome.err, "the links of one device must not meet at its lock")
                keys = {link["ckn"] for link in outcome.report["links"]}
                self.assertEqual(len(keys), 2, "links never share a key")
                self.assertEqual({state for state, _ in lab.mka(HUB).values()}, {"secured"})
                self.assertEqual({name for name in lab.mka(HUB)}, {"et-0/0/20:2", "et-0/0/20:3"})
                self.assertEqual(lab.state(HUB).findtext(".//host-name"), HUB + "-re0")

    def test_device_and_link_select(self):
        lab = self.lab()
        outcome = lab.run("--device", RIGHT)
        self.assertEqual((outcome.code, [link["name"] for link in outcome.report["links"]]), (0, ["right"]), outcome)
        self.assertEqual(lab.mka(LEFT), {}, "the other link was not touched")
        outcome = lab.run("--link", "left")
        self.assertEqual((outcome.code, [link["name"] for link in outcome.report["links"]]), (0, ["left"]), outcome)
        outcome = lab.run("--device", HUB)
        self.assertEqual((outcome.code, len(outcome.report["links"])), (0, 2), outcome)

    def test_a_routing_engine_that_does_not_follow(self):
        lab = self.lab()
        self.assertEqual(lab.run().code, 0)
        before = lab.mka(HUB)
        lab.faults(HUB, REFUSED)
        outcome = lab.run("--link", "left")
        self.assertEqual(outcome.code, 1, outcome)
        self.assertIn(outcome.link()["result"], ("failed", "reverted"))
        self.assertIn("other routing engine", outcome.link()["error"]["what"])
        self.assertEqual(lab.mka(HUB), before, "nothing changed")
        lab.change(rf'^(\[device\.{HUB}\])$', '\\1\nallow_local_commit = true')
        outcome = lab.run("--link", "left")
        self.assertEqual(outcome.code, 1, outcome)
        self.assertEqual(outcome.link()["result"], "degraded", outcome)
        self.assertIn("only one of the two routing engines", outcome.link()["error"]["what"])
        self.assertEqual(lab.mka(HUB)["et-0/0/20:2"], ("secured", outcome.link()["ckn"]))
        lab.faults(HUB)
        self.assertEqual(lab.run("--link", "left").code, 0)

    def test_with_the_program_on_every_device(self):
        lab = self.lab()
        for name in (HUB, LEFT, RIGHT):
            table = lab_command("local", lab.folder, name)
            lab.change(rf"^\[device\.{name}\]\n(?:.+\n)+", table.replace("\\", r"\\"))
        outcome = lab.run()
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual({link["result"] for link in outcome.report["links"]}, {"rotated"})
        # Two names for one router would get round its lease.
        lab.change(rf'devices/{LEFT}"\]$', f'devices/{HUB}"]')
        refused = lab.qkd("check", lab.pipeline_file)
        self.assertEqual(refused.code, 2, refused)
        self.assertIn("are the same: this machine by", refused.out + refused.err)
        self.assertEqual(list(Path(lab.folder, "devices").glob("*/sim/sessions/*")), [], "no session is left")


if __name__ == "__main__":
    unittest.main()
