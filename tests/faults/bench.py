"""A worker's bench: a lab of its own with a pair of devices for each kind of case, and what the simulators say about it."""
import contextlib
import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

from lab_clock import LabClock
from program import Program, begins, ended

REPOSITORY = Path(__file__).resolve().parents[2]
LAB = REPOSITORY / "scripts" / "lab"
DEADLINE = 120
LEAD, CONFIRM = 240, 120  # seconds of device time
# Device time while the program waits for it (device clocks tell whole seconds): fast at first, then slow, so that a call that hangs meanwhile does not cost
# the whole confirm timer.
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18  # linux/sched.h, sys/mount.h
OWN_MOUNTS = [False]  # whether own_mounts() succeeded in this process
GEARS = ((0.0, 60.0), (0.5, 10.0))


def kinds():
    """(rollover, preceding key kept) of the pairs on a bench, in the order of their devices."""
    return [(rollover, preceding) for rollover in ("key-chain", "pre-shared-key") for preceding in (True, False)]


def ckn_of(link, key_id):
    return hashlib.sha256(b"qkd-macsec ckn v1\0" + link.encode() + b"\0" + key_id.encode()).hexdigest()


def own_mounts():
    """What this process mounts from now on is seen by it and its children only, and goes with them. False: not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    return (libc.unshare(CLONE_NEWNS) == 0
            and libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0)


def small_disk(folder):
    """Puts a small file system of its own on the folder; False where that is not permitted."""
    if not OWN_MOUNTS[0]:
        return False
    return ctypes.CDLL(None).mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=512k,mode=0700") == 0


def write_whole(path, text):
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class Pair:
    """Two devices, their link, and the program's pipeline file and state for it."""

    def __init__(self, bench, index, rollover, preceding):
        self.bench, self.rollover, self.preceding = bench, rollover, preceding
        self.initiator, self.responder = f"mx304-{11 + 2 * index}", f"mx304-{12 + 2 * index}"
        self.devices = (self.initiator, self.responder)
        self.link = f"{self.initiator}--{self.responder}"
        self.folder = bench.folder / f"pair-{index}"
        self.state = self.folder / "state"
        self.wire_log = bench.lab / "wires" / f"{self.initiator}_et-0-0-0--{self.responder}_et-0-0-0.log"
        self.state.mkdir(parents=True, mode=0o700)
        self.own_disk = small_disk(self.state)
        for device in self.devices:
            self.describe(device, preceding_key=preceding)
            shutil.copytree(self.device(device), self.folder / f"{device}.new", symlinks=True)
        self.secured = False
        self.guard, self.waiting, self.gears = threading.RLock(), set(), []

    def device(self, name):
        return self.bench.lab / "devices" / name

    def describe(self, device, **changes):
        """Changes device.json; it is read anew with every call."""
        path = self.device(device) / "device.json"
        write_whole(path, json.dumps(json.loads(path.read_text()) | changes))

    def other(self, device):
        return self.responder if device == self.initiator else self.initiator

    def pipeline(self, state, name, **timeouts):
        """Writes a pipeline file for this pair alone. Timeouts in the notation of the file."""
        limits = {"connect": "8s", "call": "8s", "window": "5s"} | timeouts
        blocks = []
        for block in self.bench.pipeline.split("\n\n"):
            named = re.match(r'\[device\.([^\]]+)\]', block)
            link = re.match(r'\[\[link\]\]\nname = "([^"]+)"', block)
            if (named and named[1] not in self.devices) or (link and link[1] != self.link):
                continue
            kind = re.match(r'\[\[stage\]\]\nkind = "([^"]+)"', block)
            if block.startswith("[pipeline]"):
                block = block.replace('state = "state"', f"state = {json.dumps(str(state))}")
            elif kind and kind[1] == "connect":
                block = f'[[stage]]\nkind = "connect"\ntimeout = "{limits["connect"]}"\nretry = {{ attempts = 3, backoff = "100ms" }}'
            elif kind and kind[1] == "key-source":
                block = (f'[[stage]]\nkind = "key-source"\ntimeout = "{limits["call"]}"\n'
                         f'retry = {{ attempts = 2, backoff = "100ms" }}\ndec_retry_window = "{limits["window"]}"')
            elif kind and kind[1] == "commit":
                lead = f'lead = "{LEAD}s"\n' if self.rollover == "key-chain" else ""
                block = (f'[[stage]]\nkind = "commit"\ntimeout = "{limits["call"]}"\nrollover = "{self.rollover}"\n{lead}'
                         f'confirm = "{CONFIRM}s"\nmax_clock_skew = "5s"')
            elif kind and kind[1] != "persist":
                block += f'\ntimeout = "{limits["call"]}"'
            blocks.append(block)
        path = self.folder / ("rival.toml" if name == "rival" else "pipeline.toml")
        write_whole(path, "\n\n".join(blocks))
        return path

    # ------------------------------------------------------------ what the simulators say

    def look(self):
        """Works out the wire up to now. {device: ElementTree of --show}"""
        return {device: self.bench.show(self.device(device)) for device in self.devices}

    def wire_entries(self, offset=0):
        """The transitions since `offset`, and the offset behind them."""
        with contextlib.suppress(FileNotFoundError):
            with open(self.wire_log, "rb") as log:
                log.seek(offset)
                text = log.read()
            return [json.loads(line) for line in text.splitlines() if line.strip()], offset + len(text)
        return [], 0

    @staticmethod
    def caks(view):
        """Every clear-text key in the devices' configuration."""
        return {e.text.strip() for root in view.values() for tag in ("cak", "secret") for e in root.iter(tag) if e.text}

    @staticmethod
    def names_of_keys(root):
        """The CKNs in a device's configuration."""
        return {e.text.strip().lower() for tag in ("ckn", "key-name") for e in root.iter(tag) if e.text}

    @staticmethod
    def mka(root):
        """{interface: (state, ckn)} of a device."""
        return {i.findtext("name"): (i.findtext("state"), i.findtext("ckn")) for i in root.iter("interface")
                if i.find("state") is not None}

    def sim(self, device):
        """The simulated device's own notes: pending commits, fault counters, holder of the lock."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.device(device) / "sim" / "state.json").read_text())
        return {}

    # ------------------------------------------------------------ faults of devices

    def arm(self, device, *faults):
        write_whole(self.device(device) / "faults.json", json.dumps({"faults": list(faults)}))

    def disarm(self):
        for device in self.devices:
            (self.device(device) / "faults.json").unlink(missing_ok=True)

    def strikes(self, device, mark):
        """How often the calls named in faults with the id `mark` came."""
        return self.bench.count(self.device(device), mark)

    # ------------------------------------------------------------ running

    def run(self, name, folder, strike=None, *, state=None, deadline=60.0, **timeouts):
        """One run of the program with device time driven for it, with the pair's own state or another. Gives the finished
        Program. May be called while another run on the same pair is under way, from another thread."""
        state = state or self.state
        pipeline = self.pipeline(state, name, **timeouts)
        program = Program([self.bench.qkd, "run", pipeline, "-vvv"], folder, name, self.bench.hold, state=state, deadline=deadline)
        clock = self.bench.clock
        staged = [clock.now()]

        def watch(record):
            if record.get("message") == "step stage":
                staged[0] = clock.now()
            if begins(record, "verify"):
                start = staged[0] + LEAD * 1000 if self.rollover == "key-chain" else 0
                self.waits(name, record.get("device"), start)
            elif ended(record, "verify"):
                self.waits_no_more(name, record.get("device"))
            self.shift()
            if strike:
                strike.on_line(record, program)

        def tick():
            self.shift()
            if strike:
                strike.on_tick(program)

        try:
            program.follow(watch, tick)
        finally:
            self.waits_no_more(name)
        return program

    def waits(self, name, device, start):
        """A run waits for device time, at most until shortly after `start` (lab milliseconds)."""
        with self.guard:
            if not self.waiting:
                ahead = start - self.bench.clock.now() - 2000
                if ahead > 0:
                    self.bench.clock.advance(ahead / 1000)
                now = time.monotonic()
                self.gears[:] = [(now + after, speed) for after, speed in GEARS]
            self.waiting.add((name, device))

    def waits_no_more(self, name, device=None):
        with self.guard:
            before = bool(self.waiting)
            self.waiting = {one for one in self.waiting if one[0] != name or device not in (None, one[1])}
            if before and not self.waiting:
                self.gears.clear()
                self.bench.clock.run_at(1.0)

    def shift(self):
        with self.guard:
            while self.gears and time.monotonic() >= self.gears[0][0]:
                self.bench.clock.run_at(self.gears.pop(0)[1])

    def renew(self):
        """Both devices as they came, nothing remembered: after a case that left the pair in a state nobody should build on."""
        for device in self.devices:
            remove_tree(self.device(device))
            shutil.copytree(self.folder / f"{device}.new", self.device(device), symlinks=True, dirs_exist_ok=True)
        for path in self.wire_log.parent.glob(f"{self.initiator}_*"):
            path.unlink()
        for path in self.state.iterdir():  # the folder itself may be a disk of its own
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.secured = False


class Bench:
    """A lab below `folder`. Use as a context manager: leaving it ends every process of the lab."""

    def __init__(self, folder, bin_folder, hold):
        self.folder, self.bin, self.hold = folder, Path(bin_folder), hold
        self.lab = folder / "lab"
        self.qkd = self.bin / "qkd-macsec"
        self.pairs = {}

    def __enter__(self):
        self.folder.mkdir(parents=True)
        self.lab_command("up", self.lab, "--devices", str(2 * len(kinds())), "--speed", "1", "--max-clock-skew", "5s")
        try:
            self.clock = LabClock(self.lab)
            self.pipeline = (self.lab / "pipeline.toml").read_text()
            for index, kind in enumerate(kinds()):
                self.pairs[kind] = Pair(self, index, *kind)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.lab_command("down", self.lab)

    def lab_command(self, *words):
        done = subprocess.run([sys.executable, LAB, *map(str, words), "--bin", self.bin], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=DEADLINE, check=False)
        if done.returncode:
            raise RuntimeError(f"scripts/lab {words[0]}: {done.stdout}{done.stderr}")

    def show(self, device):
        done = subprocess.run([self.bin / "junos-sim", "--state", device, "--show"], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=DEADLINE, check=True)
        return ElementTree.fromstring(done.stdout)

    def reboot(self, device):
        subprocess.run([self.bin / "junos-sim", "--state", device, "--reboot"], stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=DEADLINE, check=True)

    @staticmethod
    def count(device, mark):
        """Sum of the counters of all faults with that id in the device's faults.json."""
        try:
            faults = json.loads((device / "faults.json").read_text())["faults"]
            counters = json.loads((device / "sim" / "state.json").read_text())["counters"]
        except (OSError, ValueError, KeyError):
            return 0
        return sum(n for name, n in counters.items()
                   if (index := int(name.split(":")[0])) < len(faults) and faults[index].get("id") == mark
                   and name.split(":")[1] == fnv(faults[index]))

    # ------------------------------------------------------------ key management

    def kme_faults(self, *faults):
        write_whole(self.lab / "kme" / "faults.json", json.dumps({"faults": list(faults)}))

    def kme_strikes(self):
        """The ids of the faults that struck."""
        path = self.lab / "kme" / "faults.json.log"
        return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []

    def kme_audit(self):
        path = self.lab / "kme" / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []


def fnv(fault):
    """The name that junos-sim gives to a fault's counter: its stable_hash() of the fault's JSON, keys sorted, no spaces."""
    value, limit = 1469598103934665603, (1 << 64) - 1
    for byte in json.dumps(fault, sort_keys=True, separators=(",", ":")).encode():
        value = ((value ^ byte) * 1099511628211) & limit
    value ^= value >> 33
    value = (value * 0xff51afd7ed558ccd) & limit
    return str(value ^ value >> 33)


def remove_tree(folder):
    """Also while a session that is about to end still writes there."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.02)
    raise OSError(f"{folder} cannot be removed")
