"""On-box: every member is driven by a process of its own, over a pipe, and they meet only through the key_ID transport."""
import json
import os
import re
import secrets
import signal
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


class Onbox(unittest.TestCase):
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

    def test_one_initiator_and_three_responders_in_any_order(self):
        with OnboxLab("--demo") as lab:
            initiator, *responders = lab.pipeline["device"]
            seen = {self.assert_rotated(lab, lab.everyone(responders, after=WAITS)),
                    self.assert_rotated(lab, lab.everyone([initiator], after=OFFERS)),
                    self.assert_rotated(lab, lab.everyone([*responders[1:]], after=WAITS))}
            self.assertEqual(len(seen), 3)

    def test_two_over_lldp_and_as_the_script_changed_keys(self):
        with OnboxLab("--rollover", "pre-shared-key") as lab:
            initiator, responder = lab.pipeline["device"]
            first = self.assert_rotated(lab, lab.everyone([responder], after=WAITS))
            second = self.assert_rotated(lab, lab.everyone([initiator], after=OFFERS))
            self.assertNotEqual(first, second)
        with OnboxLab(key_ids='plugin = "keyid-lldp", acknowledge = true') as lab:
            initiator, responder = lab.pipeline["device"]
            first = self.assert_rotated(lab, lab.everyone([responder], after=WAITS))
            second = self.assert_rotated(lab, lab.everyone([initiator], after=OFFERS))
            self.assertNotEqual(first, second)

    def test_one_is_missing(self):
        with OnboxLab("--demo") as lab:
            initiator, *responders = lab.pipeline["device"]
            before = self.assert_rotated(lab, lab.everyone(responders))
            for device in lab.pipeline["device"]:
                lab.write(device, wait='"1m"')

            # Nobody offers a key.
            alone = Process(lab, responders[0]).end()
            self.assertEqual((alone.code, alone.link["result"], alone.link["ckn"]), (0, "unchanged", before), alone)
            self.assertEqual(lab.live_keys(), {("secured", before)})

            # One responder does not come.
            some = [Process(lab, device) for device in (initiator, *responders[:-1])]
            for process in some:
                process.end()
                self.assertEqual(process.code, 1, process)
            self.assertIn(f"no answer from {responders[-1]}", some[0].link["error"]["what"])
            self.assertIn("--as", some[0].link["error"]["hint"])
            self.assertEqual(lab.live_keys(), {("secured", before)})

            for device in lab.pipeline["device"]:
                lab.write(device)
            self.assertNotEqual(self.assert_rotated(lab, lab.everyone(responders)), before)

    def test_killed_in_the_middle(self):
        with OnboxLab() as lab:
            initiator, responder = lab.pipeline["device"]
            self.assert_rotated(lab, lab.everyone([responder]))
            before = self.assert_rotated(lab, lab.everyone([responder]))
            for victim, moment in ((initiator, OFFERS), (initiator, "step confirm"), (responder, "step confirm")):
                with self.subTest(victim=victim, moment=moment):
                    lab.write(initiator, wait='"1m"')
                    lab.write(responder, wait='"1m"')
                    processes = [Process(lab, responder)]
                    if (victim, moment) != (initiator, OFFERS):
                        processes.append(Process(lab, initiator))
                    else:
                        processes.insert(0, Process(lab, initiator))
                    killed = next(process for process in processes if process.device == victim)
                    killed.says(moment)
                    os.kill(killed.child.pid, signal.SIGKILL)
                    for process in processes:
                        process.end()
                    self.assertEqual(killed.code, -signal.SIGKILL)
                    # The devices' timers run out; whatever they are on then, it is common to both.
                    lab_command("advance", lab.folder, 600)
                    lab_command("advance", lab.folder, 600)
                    self.assertEqual(len(lab.live_keys()), 1, f"{killed}")
                    self.assertNotIn("down", {state for state, _ in lab.live_keys()})
                    lab.write(initiator)
                    lab.write(responder)
                    after = self.assert_rotated(lab, lab.everyone([responder]))
                    self.assertNotEqual(after, before)
                    before = after

    def test_what_cannot_work_is_refused_before_anything_is_touched(self):
        with OnboxLab() as lab:
            initiator, responder = lab.pipeline["device"]
            file = lab.file_of(initiator)
            for words, said in ((("run", file), "--as DEVICE"), (("run", file, "--as", "nobody"), responder),
                                (("run", lab.pipeline_file, "--as", initiator), "offbox")):
                done = lab.qkd(*words)
                self.assertEqual(done.code, 2, done)
                self.assertIn(said, done.err)
            file.write_text(re.sub(r', secret = "[^"]*"', "", file.read_text()))
            done = lab.qkd("check", file)
            self.assertEqual(done.code, 2, done)
            self.assertIn("missing key 'secret'", done.out)
            # The other commands know their side as well.
            lab.write(initiator)
            done = lab.qkd("status", file, "--as", initiator, "--json")
            self.assertEqual([m["device"] for m in json.loads(done.out)["links"][0]["members"]], [initiator], done)
            done = lab.qkd("check", file, "--online", "--as", initiator)
            self.assertEqual(done.code, 0, done)
            self.assertNotIn(f"device {responder}", done.out)


if __name__ == "__main__":
    unittest.main()
