"""The shipped schedules: systemd takes the units, cron the line, a router the event-options, and the program every option
they call it with. QKD_BIN and QKD_DIST name the built programs and files."""
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

SOURCE = Path(__file__).resolve().parents[2] / "dist"
BUILT = Path(os.environ["QKD_DIST"])
BIN = Path(os.environ["QKD_BIN"])
PROGRAM = BIN / "qkd-macsec"
ANALYZE = shutil.which("systemd-analyze")
SYSUSERS = shutil.which("systemd-sysusers")
GENEROUS = 60  # seconds; reached only when something hangs
UNITS = {"qkd-macsec@.service": BUILT, "qkd-macsec-serve@.service": BUILT, "qkd-macsec@.timer": SOURCE / "systemd"}


def run(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=GENEROUS, check=False,
                          stdin=subprocess.DEVNULL, **more)


class Dist(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="qkd-dist-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def assert_taken(self, words):
        """The program knows every word: it gets as far as the pipeline, which is not there."""
        self.assertEqual(Path(words[0]).name, "qkd-macsec")
        pipeline = next(word for word in words if word.endswith(".toml"))
        done = run(PROGRAM, *[word for word in words[1:]])
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(f"cannot read {pipeline}", done.stderr)


class Systemd(Dist):
    def unit(self, name):
        return (UNITS[name] / name).read_text()

    def value(self, name, key):
        return re.findall(rf"^{key}=(.*)$", self.unit(name), re.MULTILINE)

    @unittest.skipUnless(ANALYZE, "systemd-analyze is not installed")
    def test_systemd_takes_the_units(self):
        program = self.folder / "qkd-macsec"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for name in UNITS:
            text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={program}", self.unit(name))
            (self.folder / name.replace("@", "@ring")).write_text(text)
        for name in UNITS:
            done = run(ANALYZE, "verify", "--man=no", self.folder / name.replace("@", "@ring"),
                       env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self.folder}:"})
            about_us = [line for line in (done.stdout + done.stderr).splitlines() if "qkd-macsec" in line]
            self.assertEqual(about_us, [])
        # A mistake would have been found.
        (self.folder / "bad.service").write_text("[Service]\nType=sometimes\nExecStart=/bin/true\n")
        done = run(ANALYZE, "verify", "--man=no", self.folder / "bad.service")
        self.assertIn("sometimes", done.stdout + done.stderr)

    @unittest.skipUnless(ANALYZE, "systemd-analyze is not installed")
    def test_the_timer_fires_every_ten_minutes(self):
        calendar, = self.value("qkd-macsec@.timer", "OnCalendar")
        done = run(ANALYZE, "calendar", "--iterations=4", "--base-time=2026-01-01 00:01:00 UTC", calendar,
                   env={**os.environ, "TZ": "UTC", "LC_ALL": "C"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(re.findall(r"2026-01-01 (\d\d:\d\d):00", done.stdout), ["00:10", "00:20", "00:30", "00:40"])

    def test_the_program_takes_the_command_lines(self):
        for name in ("qkd-macsec@.service", "qkd-macsec-serve@.service"):
            line, = self.value(name, "ExecStart")
            words = shlex.split(line.replace("%i", "no-such-pipeline"))
            self.assertTrue(words[0].startswith("/"), line)
            self.assertNotIn("@", line)
            for options in ([], ["--as", "mx1"]) if "$QKD_OPTIONS" in words else ([],):
                self.assert_taken([word for word in words if word != "$QKD_OPTIONS"] + options)

    def test_the_services_differ_only_in_how_they_run(self):
        def hardening(name):
            section = self.unit(name).split("# Secrets are locked in memory.")[1].split("[Install]")[0]
            return [line for line in section.splitlines() if "=" in line]
        self.assertEqual(hardening("qkd-macsec@.service"), hardening("qkd-macsec-serve@.service"))
        self.assertGreater(len(hardening("qkd-macsec@.service")), 15)

    @unittest.skipUnless(SYSUSERS, "systemd-sysusers is not installed")
    def test_systemd_makes_the_user(self):
        (self.folder / "etc").mkdir()
        done = run(SYSUSERS, "--dry-run", f"--root={self.folder}", SOURCE / "systemd" / "qkd-macsec.sysusers")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("qkd-macsec", done.stdout + done.stderr)
        self.assertEqual(set(self.value("qkd-macsec@.service", "User")), {"qkd-macsec"})


class Cron(Dist):
    RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))

    def fields(self, field, low, high):
        """The moments a field means, as crontab(5) has it."""
        moments = set()
        for part in field.split(","):
            match = re.fullmatch(r"(\*|\d+(?:-\d+)?)(?:/(\d+))?", part)
            self.assertIsNotNone(match, part)
            ends = [low, high] if match[1] == "*" else [int(n) for n in match[1].split("-")]
            self.assertTrue(all(low <= n <= high for n in ends), part)
            moments |= set(range(ends[0], ends[-1] + 1, int(match[2] or 1)))
        return moments

    def test_the_line_is_one_that_cron_takes(self):
        text = (BUILT / "cron" / "qkd-macsec").read_text()
        self.assertTrue(text.endswith("\n"), "cron ignores a last line without an end")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        jobs = [line for line in lines if not re.match(r"^[A-Z]+=", line)]
        self.assertEqual(len(jobs), 1, lines)
        *times, user, command = jobs[0].split(None, 6)
        for field, (low, high) in zip(times, self.RANGES, strict=True):
            self.fields(field, low, high)
        self.assertEqual(self.fields(times[0], 0, 59), {0, 10, 20, 30, 40, 50})
        self.assertEqual(user, "qkd-macsec")
        self.assertNotIn("%", command, "cron makes a line end of it")
        self.assertNotIn("@", command)
        self.assertEqual(run("sh", "-n", "-c", command).returncode, 0)
        words = shlex.split(command.split(">")[0])
        log = words.index("--log-file")
        words[log + 1] = str(self.folder / "log")
        self.assert_taken([word.replace("/ring.toml", "/no-such-pipeline.toml") for word in words])


class Junos(Dist):
    def script(self):
        spec = importlib.util.spec_from_file_location("event_script", SOURCE / "junos" / "qkd-macsec.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def netconf(self, device, *rpcs):
        """What a simulated router answers to each RPC."""
        end = "]]>]]>"
        hello = ('<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities>'
                 '<capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>')
        text = hello + end + "".join(f"<rpc>{rpc}</rpc>{end}" for rpc in (*rpcs, "<close-session/>"))
        done = subprocess.run([BIN / "junos-sim", "--state", device], input=text, capture_output=True, text=True,
                              timeout=GENEROUS, check=False)
        return done.stdout.split(end)[1:len(rpcs) + 1]

    def test_a_router_takes_the_event_options(self):
        device = self.folder / "mx1"
        device.mkdir()
        (device / "device.json").write_text(json.dumps({"name": "mx1"}))
        lines = (SOURCE / "junos" / "event-options.set").read_text()
        load = '<load-configuration action="set"><configuration-set>%s</configuration-set></load-configuration>'
        refused, *_ = self.netconf(device, load % "set event-options policy x then evnt-script y")
        self.assertIn("<rpc-error>", refused)
        answers = self.netconf(device, load % lines, "<commit-configuration/>",
                               "<get-configuration><configuration><event-options/></configuration></get-configuration>")
        for answer in answers:
            self.assertNotIn("<rpc-error>", answer)
        for word in ("<time-interval>600</time-interval>", "qkd-macsec.py", "python-script-user"):
            self.assertIn(word, answers[2])

    def test_the_event_script_calls_the_program_as_it_wants_to_be_called(self):
        script = self.script()
        self.assert_taken([word.replace("/pipeline.toml", "/no-such-pipeline.toml").replace(script.LOG, str(self.folder / "l"))
                           for word in script.command()])
        for host, name in (("mx1", "mx1"), ("mx1-re0", "mx1"), ("mx1-re1.example.net", "mx1"), ("mx-re", "mx-re")):
            with mock.patch.object(socket, "gethostname", return_value=host):
                self.assertEqual(script.device(), name)

    def test_the_event_script_hands_on_the_exit_code_and_ends_a_turn_that_takes_too_long(self):
        script = self.script()
        script.HOME = str(self.folder)
        with mock.patch.object(script, "command", return_value=["sh", "-c", "exit 3"]):
            self.assertEqual(script.main(), 3)
        script.LONGEST = 0
        with mock.patch.object(script, "command", return_value=["sh", "-c", "exec sleep 3600"]):
            self.assertEqual(script.main(), -15)


if __name__ == "__main__":
    unittest.main()
