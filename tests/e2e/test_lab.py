"""scripts/lab: that a lab really answers, keeps to itself, and leaves nothing behind.

Run with: python3 -m unittest tests/e2e/test_lab.py   (QKD_BIN names the folder of junos-sim and kme-sim)
"""
import http.client
import json
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest
from pathlib import Path
from xml.etree import ElementTree

REPOSITORY = Path(__file__).resolve().parents[2]
LAB = REPOSITORY / "scripts" / "lab"
USER = pwd.getpwuid(os.geteuid()).pw_name


def lab(*words, check=True):
    done = subprocess.run([sys.executable, LAB, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    if check and done.returncode:
        raise AssertionError(f"lab {words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def processes_of(folder):
    """Command lines of living processes that mention the folder, but for scripts/lab commands and this test."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"{folder}/" in words:
                found.append(words)
    return found


class Lab:
    """A lab in a folder of its own, which goes with it."""

    def __init__(self, *options, name="lab"):
        # Below /tmp on purpose: a sticky folder that belongs to somebody else is the usual place.
        self.parent = tempfile.mkdtemp(prefix="qkd-lab-test-", dir="/tmp")
        self.folder = Path(self.parent) / name
        self.options = options

    def __enter__(self):
        try:
            lab("up", self.folder, *self.options)
        except BaseException:
            self.__exit__()
            raise
        self.pipeline = tomllib.loads((self.folder / "pipeline.toml").read_text())
        return self

    def __exit__(self, *_):
        lab("down", self.folder)
        shutil.rmtree(self.parent)

    def ssh(self, program, device, *words, **more):
        """Runs ssh or sftp against a device with its pinned host key, the way the pipeline says."""
        about = self.pipeline["device"][device]
        # known_hosts and key by relative path, for OpenSSH splits or expands what a folder's name may hold.
        options = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes",
                   "-o", "UserKnownHostsFile=" + os.path.relpath(about["known_hosts"], self.folder),
                   "-i", os.path.relpath(about["ssh_key"].removeprefix("file:"), self.folder),
                   "-o", f"Port={about['port']}"]
        return subprocess.run([program, *options, *words], cwd=self.folder, capture_output=True, text=True, timeout=30,
                              check=False, **more)

    def target(self, device):
        about = self.pipeline["device"][device]
        return f"{about['user']}@{about['host']}"

    def netconf_hello(self, device):
        done = self.ssh("ssh", device, "-s", self.target(device), "netconf", input="")
        return done.stdout + done.stderr

    def ask(self, kme, sae, path):
        """GET /api/v1/keys/PATH as the SAE: (status, body)."""
        about = self.pipeline["kme"][kme]
        address, port = about["url"].removeprefix("https://").split(":")
        context = ssl.create_default_context(cafile=about["ca"])
        context.load_cert_chain(about["cert"].replace("{sae}", sae), about["key"].removeprefix("file:").replace("{sae}", sae))
        connection = http.client.HTTPSConnection(address, int(port), timeout=20, context=context)
        try:
            connection.request("GET", "/api/v1/keys/" + path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self, kme, sae, peer):
        return self.ask(kme, sae, f"{peer}/status")[0]


class DefaultLab(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())
        cls.devices = list(cls.lab.pipeline["device"])

    def test_each_device_greets_under_its_own_host_key(self):
        keys = [line.split() for line in (self.lab.folder / "ssh" / "known_hosts").read_text().splitlines()]
        self.assertEqual(len({key[2] for key in keys}), 2, "a host key of its own for each device")
        for device in self.devices:
            self.assertIn("urn:ietf:params:xml:ns:netconf:base:1.0", self.lab.netconf_hello(device))

    def test_a_device_under_the_key_of_another_is_refused(self):
        first, second = (self.lab.pipeline["device"][name] for name in self.devices)
        key = next(line.split(" ", 1)[1] for line in Path(first["known_hosts"]).read_text().splitlines()
                   if f":{second['port']} " in line)
        wrong = self.lab.folder / "wrong_hosts"
        wrong.write_text(f"[127.0.0.1]:{first['port']} {key}\n")
        about = dict(self.lab.pipeline["device"])
        self.addCleanup(self.lab.pipeline.__setitem__, "device", about)
        self.lab.pipeline["device"] = about | {self.devices[0]: first | {"known_hosts": str(wrong)}}
        self.assertIn("verification failed", self.lab.netconf_hello(self.devices[0]))

    def test_only_the_key_lets_in(self):
        done = subprocess.run(["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                               "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentityFile=none", "-o", "IdentityAgent=none",
                               "-p", str(self.lab.pipeline["device"][self.devices[0]]["port"]), f"{USER}@127.0.0.1", "x"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        self.assertIn("Permission denied (publickey)", done.stderr)

    def test_a_shell_command_is_refused(self):
        done = self.lab.ssh("ssh", self.devices[0], self.lab.target(self.devices[0]), "id -u", stdin=subprocess.DEVNULL)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn(str(os.geteuid()) + "\n", done.stdout)

    def test_a_file_put_on_one_device_is_not_on_the_other(self):
        local = self.lab.folder / "notice.txt"
        local.write_text("for one only")
        first, second = self.devices
        put = self.lab.ssh("sftp", first, "-b", "-", self.lab.target(first), input=f"put {local.name} /var/tmp/notice.txt\n")
        self.assertEqual(put.returncode, 0, put.stderr)
        for device, there in ((first, True), (second, False)):
            got = self.lab.ssh("sftp", device, "-b", "-", self.lab.target(device), input="get /var/tmp/notice.txt back.txt\n")
            self.assertEqual(got.returncode == 0, there, f"{device}: {got.stderr}")
        self.assertEqual((self.lab.folder / "back.txt").read_text(), "for one only")
        self.assertFalse(Path("/var/tmp/notice.txt").exists(), "and never on this machine itself")

    def test_each_kme_answers_its_own_saes_only(self):
        link = self.lab.pipeline["link"][0]
        a, b = link["initiator"], link["responders"][0]
        self.assertNotEqual(a["kme"], b["kme"])
        self.assertEqual(self.lab.status(a["kme"], a["sae"], b["sae"]), 200)
        self.assertEqual(self.lab.status(b["kme"], b["sae"], a["sae"]), 200)
        self.assertEqual(self.lab.status(b["kme"], a["sae"], b["sae"]), 401)

    def test_the_pipeline_is_laid_out_line_by_line(self):
        text = (self.lab.folder / "pipeline.toml").read_text()
        for line in text.splitlines():
            self.assertRegex(line, r"^($|#|\[|\w+ = \S)")
        self.assertEqual([stage["kind"] for stage in self.lab.pipeline["stage"]],
                         ["connect", "certs", "initial-config", "key-source", "key-id-transport", "commit", "persist"])
        self.assertEqual(self.lab.pipeline["schema"], 1)
        self.assertNotIn("inventory", self.lab.pipeline["pipeline"])

    def test_time_runs_fast_and_can_be_advanced(self):
        before = json.loads((self.lab.folder / "lab.json").read_text())
        lab("advance", self.lab.folder, "90.5")
        after = json.loads((self.lab.folder / "lab.json").read_text())
        self.assertEqual(after["advanced_ms"] - before["advanced_ms"], 90500)
        self.assertEqual(after["speed"], 40)
        self.assertNotEqual(lab("advance", self.lab.folder, "--", "-1", check=False).returncode, 0)

    def test_state_is_the_devices_own_view(self):
        root = ElementTree.fromstring(lab("state", self.lab.folder, self.devices[0]).stdout)
        tags = {element.tag.rsplit("}", 1)[-1] for element in root.iter()}
        self.assertLessEqual({"configuration", "mka"}, tags)
        self.assertIn("no device", lab("state", self.lab.folder, "mx304-99", check=False).stderr)

    def test_secrets_are_for_their_owner_only(self):
        for path in self.lab.folder.rglob("*"):
            if path.suffix == ".key" or path.name in ("id_ed25519", "audit.jsonl") or path.name.endswith("host_key"):
                self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    def test_a_second_up_does_not_disturb_a_running_lab(self):
        done = lab("up", self.lab.folder, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is up", done.stderr)
        self.assertIn("netconf:base:1.0", self.lab.netconf_hello(self.devices[0]))


class LifeCycle(unittest.TestCase):
    def test_labs_side_by_side_and_down_ends_only_its_own(self):
        with Lab() as one, Lab(name="a lab") as other:
            hold = subprocess.Popen(  # a session that is open when the lab goes down
                ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                 "UserKnownHostsFile=/dev/null", "-i", one.folder / "ssh" / "id_ed25519", "-p",
                 str(one.pipeline["device"]["mx304-11"]["port"]), "-s", f"{USER}@127.0.0.1", "netconf"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.addCleanup(hold.stdin.close)
            self.addCleanup(hold.stdout.close)
            self.addCleanup(hold.wait)
            self.assertTrue(hold.stdout.readline(), "the session is open")
            self.assertIn("3 servers ended", lab("down", one.folder).stdout)
            self.assertEqual(processes_of(one.folder), [])
            self.assertEqual(hold.wait(30), 255, "the session has ended with its device")
            self.assertIn("0 servers ended", lab("down", one.folder).stdout)
            self.assertIn("netconf:base:1.0", other.netconf_hello("mx304-12"), "the other lab is untouched")
            lab("up", one.folder)  # the folder of a lab that is down can be used again
            self.assertIn("3 servers ended", lab("down", one.folder).stdout)

    def test_down_never_ends_a_stranger_with_a_recycled_number(self):
        with Lab() as one:
            stranger = subprocess.Popen(["sleep", "600"])
            self.addCleanup(stranger.wait)
            self.addCleanup(stranger.kill)
            book = one.folder / "processes.jsonl"
            record = json.loads(book.read_text().splitlines()[0])
            with open(book, "a", encoding="utf-8") as out:
                out.write(json.dumps(record | {"kind": "sshd", "pid": stranger.pid, "start": 12345}) + "\n")
                out.write(json.dumps(record | {"kind": "sshd", "pid": stranger.pid, "boot": "another"}) + "\n")
            lab("down", one.folder)
            self.assertIsNone(stranger.poll())

    def test_down_finds_the_sessions_of_an_sshd_that_died(self):
        with Lab() as one:
            about = one.pipeline["device"]["mx304-11"]
            hold = subprocess.Popen(["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                                     "UserKnownHostsFile=/dev/null", "-i", one.folder / "ssh" / "id_ed25519", "-p",
                                     str(about["port"]), "-s", f"{USER}@127.0.0.1", "netconf"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.addCleanup(hold.stdin.close)
            self.addCleanup(hold.stdout.close)
            self.addCleanup(hold.wait)
            self.assertTrue(hold.stdout.readline())
            os.kill(int((one.folder / "ssh" / "mx304-11.pid").read_text()), signal.SIGKILL)
            lab("down", one.folder)
            self.assertEqual(processes_of(one.folder), [])
            self.assertEqual(hold.wait(30), 255)

    def test_a_failed_up_says_why_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as parent:
            tools = Path(parent) / "bin"
            tools.mkdir()
            for name, text in (("junos-sim", "exit 0"), ("kme-sim", "echo the pool is dry >&2; exit 3")):
                (tools / name).write_text(f"#!/bin/sh\n{text}\n")
                (tools / name).chmod(0o755)
            done = lab("up", Path(parent) / "lab", "--bin", tools, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("the pool is dry", done.stderr)
            self.assertEqual(processes_of(Path(parent) / "lab"), [])

    def test_an_interrupted_up_leaves_nothing(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as parent:
            folder = Path(parent) / "lab"
            child = subprocess.Popen([sys.executable, LAB, "up", folder, "--devices", "40"], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
            deadline = time.monotonic() + 60
            while not list(folder.glob("ssh/*.pid")) and child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)  # until the first sshd of the forty is up
            child.send_signal(signal.SIGTERM)
            _, errors = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 143, errors)
            self.assertEqual(processes_of(folder), [])

    def test_up_touches_no_folder_that_is_no_lab(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as parent:
            (Path(parent) / "precious").write_text("mine")
            done = lab("up", parent, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(os.listdir(parent), ["precious"])
            self.assertIn("nothing runs", lab("down", parent).stdout)

    def test_stop_and_start_keep_ports_and_undelivered_keys(self):
        with Lab() as one:
            lab("stop", one.folder, "mx304-12")
            self.assertIn("refused", one.netconf_hello("mx304-12"))
            self.assertIn("netconf:base:1.0", one.netconf_hello("mx304-11"))
            lab("start", one.folder, "mx304-12")
            self.assertIn("netconf:base:1.0", one.netconf_hello("mx304-12"))
            issued = one.ask("kme-1", "mx304-11", "mx304-12/enc_keys")[1]
            key_id = json.loads(issued)["keys"][0]["key_ID"]
            lab("stop", one.folder, "kme")
            with self.assertRaises(ConnectionRefusedError):
                one.status("kme-1", "mx304-11", "mx304-12")
            lab("start", one.folder, "kme")
            self.assertEqual(one.ask("kme-2", "mx304-12", f"mx304-11/dec_keys?key_ID={key_id}"), (200, issued))


class DeadSessions(unittest.TestCase):
    """A session that outlives its client, behind the real sshd, and everything that must end it."""

    def locked_and_dead(self, one):
        """Takes the lock of mx304-11, dies by SIGKILL; the PID of the session."""
        hold = subprocess.Popen(["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                                 "UserKnownHostsFile=/dev/null", "-i", one.folder / "ssh" / "id_ed25519", "-p",
                                 str(one.pipeline["device"]["mx304-11"]["port"]), "-s", f"{USER}@127.0.0.1", "netconf"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        with hold:
            hold.stdin.write("<rpc><lock-configuration/></rpc>]]>]]>\n")
            hold.stdin.flush()
            replies = ""
            while "</rpc-reply>" not in replies:
                line = hold.stdout.readline()
                self.assertTrue(line, replies)
                replies += line
            self.assertNotIn("rpc-error", replies)
            hold.kill()
        return int(replies.split("<session-id>")[1].split("<")[0])

    def lock(self, one):
        done = one.ssh("ssh", "mx304-11", "-s", one.target("mx304-11"), "netconf",
                       input="<rpc><lock-configuration/></rpc>]]>]]><rpc><close-session/></rpc>]]>]]>")
        return done.stdout.split("<rpc-reply", 1)[1]

    def test_they_keep_the_lock_until_stop_reboot_or_down(self):
        with Lab("--linger", "100000") as one:
            for command in ("stop", "reboot"):
                pid = self.locked_and_dead(one)
                for _ in range(2):
                    self.assertIn(f"(pid {pid})", self.lock(one))
                lab(command, one.folder, "mx304-11")
                self.assertFalse(Path(f"/proc/{pid}").exists(), command)
                lab("start", one.folder, "mx304-11")
                self.assertNotIn("rpc-error", self.lock(one))
            self.locked_and_dead(one)
            lab("down", one.folder)
            self.assertEqual(processes_of(one.folder), [])

    def test_they_end_when_their_device_time_is_over(self):
        with Lab("--linger", "100000") as one:
            pid = self.locked_and_dead(one)
            self.assertIn(f"(pid {pid})", self.lock(one))
            lab("advance", one.folder, "100000")
            deadline = time.monotonic() + 60
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                time.sleep(0.005)
            self.assertNotIn("rpc-error", self.lock(one))

    def test_options_describe_every_device(self):
        with Lab("--linger", "7", "--no-preceding-key", "--timer-lost-at-reboot", "--configured") as one:
            for device in one.pipeline["device"]:
                about = json.loads((one.folder / "devices" / device / "device.json").read_text())
                self.assertEqual((about["linger_s"], about["preceding_key"], about["timer_survives_reboot"]), (7, False, False))
            lab("reboot", one.folder, "mx304-12")
            self.assertIn("netconf:base:1.0", one.netconf_hello("mx304-12"))
            lab("advance", one.folder, "10")
            self.assertIn("<state>secured</state>", lab("state", one.folder, "mx304-11").stdout)
            [log] = one.folder.glob("wires/*.log")
            states = [json.loads(line)["state"] for line in log.read_text().splitlines()]
            self.assertEqual(states, ["init", "secured", "down", "init", "secured"])
            self.assertIn("no device", lab("reboot", one.folder, "mx304-99", check=False).stderr)


class Topologies(unittest.TestCase):
    def check(self, one):
        """What must hold for every lab: each end is on a wire, no interface in two links, both ends at their own KME."""
        wires = json.loads((one.folder / "lab.json").read_text())["wires"]
        ends = {(w[0], w[1]) for w in wires} | {(w[2], w[3]) for w in wires}
        used = [(member["device"], interface) for link in one.pipeline["link"]
                for member in [link["initiator"], *link["responders"]] for interface in member["interfaces"]]
        self.assertEqual(len(used), len(set(used)))
        self.assertEqual(set(used), ends)
        names = [(member["device"], link["connectivity_association"]) for link in one.pipeline["link"]
                 for member in [link["initiator"], *link["responders"]]]
        self.assertEqual(len(names), len(set(names)), "one connectivity association per link of a device")
        for link in one.pipeline["link"]:
            for member in link["responders"]:
                self.assertNotEqual(member["kme"], link["initiator"]["kme"])
                self.assertEqual(one.status(member["kme"], member["sae"], link["initiator"]["sae"]), 200)

    def test_pairs_chain_and_hub(self):
        for shape, links in (("pairs", 2), ("chain", 3), ("hub", 3)):
            with self.subTest(shape), Lab("--devices", "4", "--links", shape, "--kmes", "3") as one:
                self.assertEqual(len(one.pipeline["link"]), links)
                self.check(one)
        self.assertIn("even number", lab("up", "/tmp/never-made", "--devices", "3", check=False).stderr)
        self.assertFalse(Path("/tmp/never-made").exists())

    def test_the_demo_is_four_routers_on_one_link(self):
        with Lab("--demo", "--rollover", "pre-shared-key", "--transport", "keyid-memory", "--configured") as one:
            self.check(one)
            self.assertEqual(len(one.pipeline["link"][0]["responders"]), 3)
            commit = next(stage for stage in one.pipeline["stage"] if stage["kind"] == "commit")
            self.assertEqual(commit["rollover"], "pre-shared-key")
            self.assertEqual(one.pipeline["link"][0]["key_ids"], {"plugin": "keyid-memory"})
            root = ElementTree.fromstring(lab("state", one.folder, "mx10008-23").stdout)
            states = [e.text for e in root.iter() if e.tag.rsplit("}", 1)[-1] == "state"]
            self.assertEqual(states, ["secured", "secured"], "configured devices already run on their first key")


if __name__ == "__main__":
    unittest.main()
