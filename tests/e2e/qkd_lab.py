"""What the end-to-end tests share: a lab in a folder of its own, and the program run against it."""
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from pathlib import Path
from xml.etree import ElementTree

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("QKD_BIN", REPOSITORY / "build" / "release" / "bin"))
QKD = BIN / "qkd-macsec"
# Device time against real time. A sanitizer slows everything but the clocks down, so the clocks go slower too.
SPEED = "10" if os.environ.get("QKD_SANITIZE") else "25"
DEADLINE = 240


def lab_command(*words):
    done = subprocess.run([sys.executable, REPOSITORY / "scripts" / "lab", *map(str, words)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=DEADLINE, check=False)
    if done.returncode:
        raise AssertionError(f"lab {words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Outcome:
    """One run of the program: its exit code, what it printed, and its report."""

    def __init__(self, done, report):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr
        self.report = json.loads(report.read_text()) if report and report.exists() else None

    def __str__(self):
        report = json.dumps(self.report, indent=1) if self.report else "no report"
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}\n--- report\n{report}"

    def link(self, name=None):
        return next(link for link in self.report["links"] if name in (None, link["name"]))


class Lab:
    """A lab below the temporary folder, up for as long as the `with` block runs. Where all links rotate, it skips the wait for
    the start-time, so that the clocks of one with a single link can go slower, which leaves slow machines more time for a
    commit; not so with `waits`, for tests that come back before the start-time."""

    def __init__(self, *options, waits=False):
        self.parent = Path(tempfile.mkdtemp(prefix="qkd-e2e-"))
        self.folder = self.parent / "lab"
        self.options = options
        if "--speed" not in options:
            one_link = not {"--devices", "--links", "--topology"} & set(options)
            self.options += ("--speed", SPEED if waits or not one_link else "10")
        if not waits:
            self.options += ("--skip-waits",)
        self.runs = 0

    def __enter__(self):
        try:
            lab_command("up", self.folder, *self.options)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            lab_command("down", self.folder)
        finally:
            shutil.rmtree(self.parent, ignore_errors=True)

    @property
    def pipeline_file(self):
        return self.folder / "pipeline.toml"

    @property
    def pipeline(self):
        return tomllib.loads(self.pipeline_file.read_text())

    def change(self, pattern, replacement, count=0):
        """Edits lines of the pipeline file; fails when nothing matches."""
        text, changed = re.subn(pattern, replacement, self.pipeline_file.read_text(), count=count, flags=re.MULTILINE)
        if not changed:
            raise AssertionError(f"nothing in the pipeline matches {pattern}")
        self.pipeline_file.write_text(text)

    def command(self, *words):
        return [str(QKD), *map(str, words)]

    def qkd(self, *words, report=False, env=None):
        """Runs the program in the lab's folder to its end."""
        path = None
        if report:
            self.runs += 1
            path = self.folder / f"report-{self.runs}.json"
            words = (*words, "--report", path)
        done = subprocess.run(self.command(*words), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE, check=False, env={**os.environ, **(env or {})})
        return Outcome(done, path)

    def run(self, *words, **more):
        return self.qkd("run", self.pipeline_file, *words, report=True, **more)

    def state(self, device):
        """The simulator's own view of a device, as `scripts/lab state` prints it."""
        shown = subprocess.run([BIN / "junos-sim", "--state", self.folder / "devices" / device, "--show"],
                               stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE, check=True)
        return ElementTree.fromstring(shown.stdout)

    def mka(self, device):
        """{interface: (state, ckn)} as the simulator sees it."""
        return {i.findtext("name"): (i.findtext("state"), i.findtext("ckn")) for i in self.state(device).iter("interface")
                if i.find("state") is not None}

    def secrets_of(self, device):
        """Every clear-text key in the device's configuration."""
        root = self.state(device)
        return {e.text.strip() for tag in ("cak", "secret") for e in root.iter(tag) if e.text}

    def faults(self, device, *faults):
        path = self.folder / "devices" / device / "faults.json"
        path.write_text(json.dumps({"faults": list(faults)}))

    def kme_faults(self, *faults):
        (self.folder / "kme" / "faults.json").write_text(json.dumps({"faults": list(faults)}))

    def kme_audit(self):
        return [json.loads(line) for line in (self.folder / "kme" / "audit.jsonl").read_text().splitlines() if line.strip()]


CLONE_NEWNET = 0x40000000  # linux/sched.h


class Wires:
    """A network of this test's own: loopback and so many wires (wire0 - wire1, wire2 - wire3, ...). What is started within the
    `with` block lives there. With no wire nothing changes."""

    def __init__(self, count):
        self.count = count
        self.home = None

    @staticmethod
    def impossible():
        """Empty where this machine lets us make such a network, else why not."""
        try:
            with Wires(1):
                return ""
        except (OSError, subprocess.SubprocessError) as error:
            return f"no network namespace with a wire here: {error}"

    def __enter__(self):
        if self.count:
            self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            try:
                self.call("unshare", CLONE_NEWNET)
                self.ip("link", "set", "lo", "up")
                for end in range(0, 2 * self.count, 2):
                    self.ip("link", "add", f"wire{end}", "type", "veth", "peer", "name", f"wire{end + 1}")
                    self.ip("link", "set", f"wire{end}", "up")
                    self.ip("link", "set", f"wire{end + 1}", "up")
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_):
        if self.home is not None:
            self.call("setns", self.home, CLONE_NEWNET)
            os.close(self.home)
            self.home = None

    @staticmethod
    def call(name, *arguments):
        libc = ctypes.CDLL(None, use_errno=True)
        if getattr(libc, name)(*arguments):
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=DEADLINE,
                       env={**os.environ, "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"})


def signal_at(lab, step, number, *words):
    """Starts a run, sends it a signal when a member begins `step`, and waits for its end: (exit code, whether the step was seen,
    the log)."""
    child = subprocess.Popen(lab.command("run", lab.pipeline_file, "-vvv", "--log-format", "json", *words), cwd=lab.folder,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(DEADLINE, child.kill)
    timer.start()
    seen, lines = False, []
    try:
        for line in child.stderr:
            lines.append(line)
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if not seen and entry.get("stage") == step and entry.get("device"):
                seen = True
                os.kill(child.pid, number)
        code = child.wait(timeout=DEADLINE)
    finally:
        timer.cancel()
        child.stderr.close()
    return code, seen, "".join(lines)


def interfaces_of(pipeline, link):
    """{device: [interfaces]} of a link table."""
    members = [link["initiator"], *link["responders"]]
    return {member["device"]: member["interfaces"] for member in members}


def assert_secured(case, lab, outcome, link=None):
    """Every required interface is secured on the new CKN: by the report and by the simulators themselves."""
    report = outcome.link(link)
    case.assertEqual(report["result"], "rotated", outcome)
    table = next(t for t in lab.pipeline["link"] if t["name"] == report["name"])
    for device, interfaces in interfaces_of(lab.pipeline, table).items():
        seen = lab.mka(device)
        for interface in interfaces:
            case.assertEqual(seen[interface], ("secured", report["ckn"]), f"{device} {interface}\n{outcome}")
    for member in report["members"]:
        case.assertEqual(member["mka"], "secured", outcome)
