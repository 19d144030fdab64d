"""Third-party clients against junos-sim behind a real sshd: PyEZ, ncclient, and OpenSSH's sftp and scp, all unmodified.

What it protects: that the simulator answers as clients written for real routers expect. Runs as root or as an ordinary
user; everything lives in a temporary folder and on a free port of 127.0.0.1.

usage: test_pyez.py JUNOS_SIM SSHD [unittest options]
"""
import contextlib
import getpass
import json
import logging
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from jnpr.junos import Device
from jnpr.junos.exception import CommitError, ConfigLoadError, LockError, RpcError, UnlockError
from jnpr.junos.utils.config import Config
from jnpr.junos.utils.scp import SCP
from lxml import etree
from ncclient import manager
from ncclient.operations.rpc import RPCError as NcclientError

JUNOS_SIM, SSHD = sys.argv[1:3]
USER = getpass.getuser()
PATIENCE = 30
CKN = "ab" * 32
CAK = "cd" * 32
CA = "set security macsec connectivity-association CA_basic "


class Lab:
    """Two wired devices, each behind its own sshd."""

    def __init__(self, **device):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="junos-sim-e2e-"))
        self.servers = []
        now = int(time.time() * 1000)
        self.write("lab.json", json.dumps({
            "speed": 60.0, "epoch_wall_ms": now, "epoch_lab_ms": now, "advanced_ms": 0,
            "wires": [["r1", "et-0/0/20:2", "r2", "et-0/0/20:2"]], "devices": {"r1": "r1", "r2": "r2"}}))
        for name in ("r1", "r2"):
            self.write(f"{name}/device.json", json.dumps({"name": name, "lab": "../lab.json", "zone": "Europe/Berlin", **device}))
        self.key("id_ed25519")
        shutil.copy(self.folder / "id_ed25519.pub", self.folder / "authorized_keys")
        self.write("ssh_config", "")
        self.ports = {name: self.serve(name) for name in ("r1", "r2")}

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)

    def key(self, name):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)

    def serve(self, name):
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.key(f"host_{name}")
        for _ in range(10):  # a port found free may be taken before sshd binds it
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            self.write(f"sshd_{name}", "\n".join([
                f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {self.folder}/host_{name}",
                f"AuthorizedKeysFile {self.folder}/authorized_keys", "StrictModes no", "UsePAM no", "PidFile none",
                "PasswordAuthentication no", "PermitRootLogin yes", "LogLevel ERROR", "Subsystem netconf netconf",
                "Subsystem sftp internal-sftp", f"ForceCommand {JUNOS_SIM} --state {self.folder}/{name} --login", ""]))
            with open(self.folder / f"log_{name}", "wb") as log:
                server = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / f"sshd_{name}"], stderr=log, stdin=subprocess.DEVNULL)
            if self.answers(server, port):
                self.servers.append(server)
                return port
            server.kill()
            server.wait()
        raise RuntimeError((self.folder / f"log_{name}").read_text())

    @staticmethod
    def answers(server, port):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as s:
                if s.recv(4) == b"SSH-":
                    return True
            time.sleep(0.02)
        return False

    def close(self):
        for server in self.servers:
            server.terminate()
            server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, name="r1", host="127.0.0.1"):
        device = Device(host=host, port=self.ports[name], user=USER, ssh_private_key_file=str(self.folder / "id_ed25519"),
                        ssh_config=str(self.folder / "ssh_config"))
        device.open()
        device.timeout = PATIENCE
        return device

    def ncclient(self, name="r1"):
        return manager.connect(host="127.0.0.1", port=self.ports[name], username=USER, key_filename=str(self.folder / "id_ed25519"),
                               hostkey_verify=False, device_params={"name": "junos"}, allow_agent=False, look_for_keys=False,
                               ssh_config=str(self.folder / "ssh_config"), timeout=PATIENCE)

    def ssh_options(self, name):
        return ["-F", "none", "-i", str(self.folder / "id_ed25519"), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
                "-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "LogLevel=ERROR", "-P", str(self.ports[name])]


class WithLab(unittest.TestCase):
    DEVICE = {}

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(**cls.DEVICE)

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()


class Everyday:
    """What a PyEZ program does to a router, in each way the router may talk."""

    def setUp(self):
        self.dev = self.lab.open()
        self.addCleanup(self.close)

    def close(self):
        with contextlib.suppress(Exception):
            self.dev.close()

    def test_facts(self):
        self.assertEqual(self.dev.facts["hostname"], "r1")
        self.assertEqual(self.dev.facts["version"], "23.4R1.10")
        self.assertEqual(self.dev.facts["model"], "MX304")
        self.assertIn("re0", self.dev.facts["current_re"])
        self.assertEqual(self.dev.facts["2RE"], self.DEVICE.get("routing_engines", 1) > 1)

    def test_configuration_from_lock_to_rollback(self):
        config = Config(self.dev)
        self.assertTrue(config.lock())
        self.assertTrue(config.load(CA + "cipher-suite gcm-aes-xpn-256\n" + CA + "security-mode static-cak\n" + CA +
                                    f"pre-shared-key ckn {CKN}\n" + CA + f"pre-shared-key cak {CAK}", format="set") is not None)
        config.load("set security macsec interfaces et-0/0/20:2 apply-macro qkd kme-ca false", format="set")
        config.load("set security macsec interfaces et-0/0/20:2 connectivity-association CA_basic", format="set")
        difference = config.diff()
        self.assertIn("[edit security]", difference.replace("[edit]", "[edit security]"))
        self.assertIn("cipher-suite gcm-aes-xpn-256;", difference)
        self.assertNotIn(CAK, difference)
        self.assertTrue(config.commit_check())
        self.assertTrue(config.commit(comment="first"))
        self.assertIsNone(config.diff())

        # The way the published script rotates: read the subtree, edit it, load it back as XML.
        subtree = etree.fromstring("<configuration><security><macsec><connectivity-association><name>CA_basic</name>"
                                   "</connectivity-association></macsec></security></configuration>")
        read = self.dev.rpc.get_config(filter_xml=subtree)
        read.find(".//ckn").text = "ef" * 32
        read.find(".//cak").text = "01" * 32
        config.load(read, format="xml", merge=True)
        self.assertRegex(config.diff(), r"\+ +ckn (ef){32};")
        self.assertTrue(config.commit(confirm=2))
        self.assertTrue(config.commit(comment="confirmed"))

        config.load("security { macsec { connectivity-association CA_basic { mka { key-server-priority 5; } } } }", format="text")
        self.assertIsNotNone(config.diff())
        self.assertTrue(config.rollback(0))
        self.assertIsNone(config.diff())
        self.assertTrue(config.unlock())

        history = self.dev.rpc.get_commit_information()
        self.assertEqual([e.findtext("log") for e in history.findall("commit-history")][:3], ["confirmed", None, "first"])
        self.assertEqual(history.findall("commit-history")[1].findtext("comment"), "commit confirmed, rollback in 2mins")

    def test_refusals(self):
        config = Config(self.dev)
        config.lock()
        with self.assertRaises(ConfigLoadError) as refused:
            config.load("set security macsec nonsense 1", format="set")
        self.assertIn("syntax error", str(refused.exception))
        config.load("set security macsec interfaces et-1/1/1 connectivity-association NOPE", format="set")
        with self.assertRaises(CommitError) as failed:
            config.commit()
        self.assertIn("NOPE is not defined", str(failed.exception))
        config.rollback(0)
        config.unlock()
        with self.assertRaises(UnlockError):
            config.unlock()
        with self.assertRaises(RpcError):
            self.dev.rpc.get_flux_capacitor()

    def test_second_session_finds_it_locked(self):
        other = self.lab.open()
        self.addCleanup(other.close)
        Config(self.dev).lock()
        with self.assertRaises(LockError) as denied:
            Config(other).lock()
        self.assertIn("configuration database locked by", str(denied.exception))
        Config(self.dev).unlock()
        with Config(other, mode="exclusive") as config:
            config.load("set system domain-name other.example", format="set")
            config.commit()

    def test_private_mode(self):
        with Config(self.dev, mode="private") as config:
            config.load("set system domain-name private.example", format="set")
            self.assertIn("private.example", config.diff())
            config.commit()
        self.assertEqual(self.dev.rpc.get_config(filter_xml="system/domain-name").findtext(".//domain-name"), "private.example")


class DefaultMode(Everyday, WithLab):
    def test_missing_statement_warns(self):
        config = Config(self.dev)
        with self.assertRaises(ConfigLoadError):
            config.load("delete security macsec interfaces xe-9/9/9", format="set")
        config.load("delete security macsec interfaces xe-9/9/9", format="set", ignore_warning="statement not found")

    def test_uptime_lldp_and_commands(self):
        for name in ("r1", "r2"):
            with self.lab.open(name) as device, Config(device, mode="exclusive") as config:
                config.load(f"set protocols lldp interface all\nset interfaces et-0/0/20:2 description {name}-says", format="set")
                config.commit()
        clock = self.dev.rpc.get_system_uptime_information().find("current-time/date-time")
        self.assertRegex(clock.text, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d CES?T$")
        self.assertTrue(clock.get("seconds").isdigit())
        seen = self.dev.rpc.get_lldp_neighbors_information().findall("lldp-neighbor-information")
        self.assertEqual([[n.findtext(f"lldp-{field}") for field in ("local-port-id", "remote-system-name", "remote-port-description")]
                          for n in seen], [["et-0/0/20:2", "r2", "r2-says"]])
        self.assertIn("Hostname: r1", self.dev.cli("show version", warning=False))

    def test_ncclient(self):
        with self.lab.ncclient() as m:
            m.lock("candidate")
            m.edit_config(target="candidate", config="<config><configuration><system><domain-name>a.b</domain-name></system>"
                                                     "</configuration></config>")
            self.assertIn("a.b", str(m.get_config("candidate")))
            m.validate("candidate")
            m.discard_changes()
            self.assertNotIn("a.b", str(m.get_config("candidate")))
            m.edit_config(target="candidate", config="<config><configuration><system><domain-name>c.d</domain-name></system>"
                                                     "</configuration></config>")
            m.commit(confirmed=True, timeout="60")
            m.commit()
            m.unlock("candidate")
            got = m.get_config("running", filter=("subtree", "<configuration><system><domain-name/></system></configuration>"))
            self.assertIn("c.d", str(got))
            self.assertNotIn("host-name>", str(got))
            with self.assertRaises(NcclientError):
                m.edit_config(target="candidate", config="<config><configuration><nope/></configuration></config>")

    def test_files_of_one_device_are_unknown_to_the_other(self):
        note = self.lab.folder / "note"
        note.write_text("for r1 only")
        # PyEZ takes the device's port for SCP only when the host is called localhost.
        with self.lab.open("r1", host="localhost") as device, SCP(device) as scp:
            scp.put(str(note), remote_path="/var/tmp/pyez")
            scp.get("/var/tmp/pyez", local_path=str(self.lab.folder / "back"))
        self.assertEqual((self.lab.folder / "back").read_text(), "for r1 only")
        for flags, name in ((["-O"], "legacy"), (["-s"], "sftp")):
            for device, source, target in (("r1", str(note), f"{USER}@127.0.0.1:/var/tmp/{name}"),
                                           ("r1", f"{USER}@127.0.0.1:/var/tmp/{name}", str(self.lab.folder / f"back-{name}"))):
                subprocess.run(["scp", *flags, *self.lab.ssh_options(device), source, target], check=True, timeout=PATIENCE)
            self.assertEqual((self.lab.folder / f"back-{name}").read_text(), "for r1 only")
            stolen = subprocess.run(["scp", *flags, *self.lab.ssh_options("r2"), f"{USER}@127.0.0.1:/var/tmp/{name}",
                                     str(self.lab.folder / "stolen")], stderr=subprocess.DEVNULL, timeout=PATIENCE)
            self.assertNotEqual(stolen.returncode, 0)
        self.assertFalse((self.lab.folder / "stolen").exists())
        self.assertFalse(os.path.exists("/var/tmp/pyez") and pathlib.Path("/var/tmp/pyez").read_text() == "for r1 only")

    def test_no_shell(self):
        options = self.lab.ssh_options("r1")
        options[options.index("-P")] = "-p"
        refused = subprocess.run(["ssh", *options, f"{USER}@127.0.0.1", "ls", "/"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("unknown command: ls /", refused.stderr)


class RfcCompliant(Everyday, WithLab):
    DEVICE = {"rfc_compliant": True}


class Chunked(Everyday, WithLab):
    DEVICE = {"rfc_compliant": True, "version_1_1": True}


class DualEngine(Everyday, WithLab):
    DEVICE = {"routing_engines": 2}


class Mka(WithLab):
    def test_both_ends_secured_and_told_in_text_and_xml(self):
        for name in ("r1", "r2"):
            with self.lab.open(name) as device, Config(device, mode="exclusive") as config:
                config.load(CA + "security-mode static-cak\n" + CA + f"pre-shared-key ckn {CKN}\n" + CA + f"pre-shared-key cak {CAK}\n"
                            "set security macsec interfaces et-0/0/20:2 connectivity-association CA_basic", format="set")
                config.commit()
        with self.lab.open("r1") as device:
            deadline = time.monotonic() + PATIENCE
            while True:
                text = device.rpc.get_mka_session_information({"format": "text"}, summary=True).text
                if " live " in text or time.monotonic() > deadline:
                    break
            self.assertTrue(re.search(rf"^et-0/0/20:2 +[0-9A-F]{{24}} +primary +live +\d+ +\d+ +{CKN.upper()}$", text, re.M), text)
            info = device.rpc.get_mka_session_information(detail=True)
            self.assertEqual(info.findtext(".//interface-state"), "Secured - Primary")
            self.assertEqual(info.findtext(".//session-live/cak-name"), CKN.upper())
            self.assertIn("Secured - Primary", device.cli("show security mka sessions", warning=False))


if __name__ == "__main__":
    logging.getLogger("ncclient").setLevel(logging.CRITICAL)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
