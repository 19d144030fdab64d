"""An inventory of the Python script, imported, keys the links it describes."""
import json
import shutil
import tempfile
import unittest
from pathlib import Path

from qkd_lab import Lab, assert_secured

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import" / "targets.json"


class Imported(unittest.TestCase):
    def topology(self, inventory):
        """A lab shaped like the inventory: its devices in a row, each with a KME of its own."""
        names = [inventory["qkd_roles"]["master"], inventory["qkd_roles"]["slave"],
                 *inventory["qkd_roles"]["additional_slave_SAE_IDs"]]
        members = [{"device": name, "interfaces": inventory[name]["interfaces"]} for name in names]
        wires = [[one["device"], one["interfaces"][-1], other["device"], other["interfaces"][0]]
                 for one, other in zip(members, members[1:])]
        return {"devices": [{"name": name, "kme": number} for number, name in enumerate(names, 1)], "wires": wires,
                "links": [{"initiator": members[0], "responders": members[1:]}]}

    def test_the_golden_inventory_ends_secured(self):
        inventory = json.loads(GOLDEN.read_text())
        folder = Path(tempfile.mkdtemp(prefix="qkd-topology-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "topology.json").write_text(json.dumps(self.topology(inventory)))
        # Slow clocks: an imported pipeline has the usual limits for the members' clocks.
        with Lab("--topology", folder / "topology.json", "--kmes", 4, "--speed", 6) as lab:
            where = lab.pipeline
            for name, device in where["device"].items():
                inventory[name].update(ip=device["host"], port=device["port"])
                kme = next(m["kme"] for m in [where["link"][0]["initiator"], *where["link"][0]["responders"]]
                           if m["device"] == name)
                inventory[name]["kme"] = {"kme_name": where["kme"][kme]["url"], "kme_ip": device["host"]}
            inventory["secrets"]["username"] = where["device"]["acx-1"]["user"]
            (lab.folder / "targets.json").write_text(json.dumps(inventory))
            lab.pipeline_file.unlink()  # from here on only what the inventory says
            done = lab.qkd("import", "targets.json", "-o", lab.pipeline_file, "--ssh-key", lab.folder / "ssh" / "id_ed25519",
                           "--known-hosts", lab.folder / "ssh" / "known_hosts")
            self.assertEqual(done.code, 0, done)
            for words in (("check",), ("check", "--online")):
                done = lab.qkd(*words, lab.pipeline_file)
                self.assertEqual(done.code, 0, done)
            first = lab.run()
            self.assertEqual(first.code, 0, first)
            assert_secured(self, lab, first)
            self.assertEqual([m["role"] for m in first.link()["members"]], ["initiator", *["responder"] * 3])


if __name__ == "__main__":
    unittest.main()
