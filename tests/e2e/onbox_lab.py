"""A lab whose members are driven by processes of their own, over pipes."""
import json
import re
import secrets
import subprocess
import threading
import tomllib
import unittest

from qkd_lab import DEADLINE, Lab, lab_command

WAITS = "waiting for a new key_ID"
OFFERS = "waiting for the others to answer the offer"
# Device time: what is long here costs nothing where all goes well.
PATIENCE = "20m"


class Process:
    """One member's run, with its log read as it comes."""

    def __init__(self, lab, device, *words):
        self.device = device
        self.report_file = lab.folder / f"report-{device}.json"
        self.report_file.unlink(missing_ok=True)
        self.child = subprocess.Popen(
            lab.command("run", lab.file_of(device), "--as", device, "-v", "--report", self.report_file, *words),
            cwd=lab.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.timer = threading.Timer(DEADLINE, self.child.kill)
        self.timer.start()
        self.log = []
        self.news = threading.Condition()
        self.ended = False
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.child.stderr:
            with self.news:
                self.log.append(line)
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def says(self, text):
        """Waits until it says so."""
        with self.news:
            if not self.news.wait_for(lambda: self.ended or any(text in line for line in self.log), DEADLINE):
                raise AssertionError(f"{self.device} does not say: {text}")
            if not any(text in line for line in self.log):
                raise AssertionError(f"{self.device} ended without saying: {text}\n{self}")

    def end(self):
        self.out = self.child.stdout.read()
        self.code = self.child.wait(timeout=DEADLINE)
        self.reader.join()
        self.timer.cancel()
        self.child.stdout.close()
        self.child.stderr.close()
        self.link = json.loads(self.report_file.read_text())["links"][0] if self.report_file.exists() else None
        return self

    def __str__(self):
        return f"--- {self.device}\n{''.join(self.log)}"


class OnboxLab(Lab):
    """A lab whose devices have a pipeline file each, with the device itself behind a pipe."""

    def __init__(self, *options, key_ids=None, wait=PATIENCE):
        super().__init__(*options, waits=True)
        self.key_ids = key_ids
        self.wait = wait

    def __enter__(self):
        super().__enter__()
        secret = self.folder / "link.key"
        secret.write_text(secrets.token_hex(32))
        secret.chmod(0o600)
        devices = self.pipeline["device"]
        text = self.pipeline_file.read_text()
        any_device = next(iter(devices.values()))
        peers = ", ".join(f'"{name}={table["host"]}:{table["port"]}"' for name, table in devices.items())
        key_ids = self.key_ids or (
            f'plugin = "keyid-scp", directory = "/var/tmp/qkd-macsec", peers = [{peers}], user = "{any_device["user"]}", '
            f'ssh_key = "{any_device["ssh_key"]}", known_hosts = "{any_device["known_hosts"]}"')
        text = re.sub(r"^key_ids = .*$", f'key_ids = {{ {key_ids}, secret = "file:{secret}" }}', text, flags=re.MULTILINE)
        text = text.replace('mode = "offbox"', 'mode = "onbox"')
        text = text.replace('kind = "key-id-transport"', f'kind = "key-id-transport"\nwait = "{self.wait}"')
        self.whole = text
        for device in devices:
            self.write(device)
        return self

    def write(self, device, **changes):
        own = lab_command("local", self.folder, device)
        text = re.sub(rf"^\[device\.{re.escape(device)}\]\n(.+\n)+", lambda _: own, self.whole, flags=re.MULTILINE)
        text = text.replace('state = "state"', f'state = "state-{device}"')
        for key, value in changes.items():
            text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        tomllib.loads(text)
        self.file_of(device).write_text(text)

    def file_of(self, device):
        return self.folder / f"{device}.toml"

    def everyone(self, first, *, after=None):
        """Runs all members; those of `first` until each says `after`, then the others."""
        processes = {}
        try:
            for device in first:
                processes[device] = Process(self, device)
            for device in first if after else ():
                processes[device].says(after)
            for device in self.pipeline["device"]:
                if device not in processes:
                    processes[device] = Process(self, device)
        finally:
            for process in processes.values():
                process.end()
        return processes

    def live_keys(self):
        """What every wired interface is on: {(state, ckn)}."""
        return {mka for device in self.pipeline["device"] for mka in self.mka(device).values()}


class OnboxTest(unittest.TestCase):
    def assert_rotated(self, lab, processes):
        told = "\n".join(map(str, processes.values()))
        links = [process.link for process in processes.values()]
        self.assertEqual({process.code for process in processes.values()}, {0}, told)
        self.assertEqual({link["result"] for link in links}, {"rotated"}, told)
        self.assertEqual(len({(link["key_id"], link["ckn"]) for link in links}), 1, told)
        self.assertEqual(lab.live_keys(), {("secured", links[0]["ckn"])}, told)
        for process in processes.values():
            self.assertEqual([member["device"] for member in process.link["members"]], [process.device])
        keys = {key for device in lab.pipeline["device"] for key in lab.secrets_of(device)}
        self.assertTrue(keys)
        for key in keys:
            self.assertNotIn(key, told + "".join(process.out for process in processes.values()))
        return links[0]["ckn"]
