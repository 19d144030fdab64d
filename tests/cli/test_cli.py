"""The program as a user calls it: usage, help, plugins, findings, exit codes, signals. Needs no devices.

QKD_MACSEC names the program; its plugins lie beside it. Everything else lives in a folder of the test's own.
"""
import json
import os
import pty
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["QKD_MACSEC"]
COMMANDS = ["run", "check", "plan", "status", "serve", "withdraw", "plugins", "import", "secret"]
GENEROUS = 60  # seconds; reached only when something hangs

PIPELINE = """schema = 1
[pipeline]
name = "pair"
mode = "offbox"
state = "state"
seal_key = "file:seal.key"
[[stage]]
kind = "connect"
timeout = "30s"
[[stage]]
kind = "key-source"
[[stage]]
kind = "key-id-transport"
[[stage]]
kind = "commit"
rollover = "key-chain"
lead = "180s"
[defaults.device]
plugin = "junos-netconf"
user = "lab"
ssh_key = "file:ssh.key"
known_hosts = "known_hosts"
[device.mx1]
host = "127.0.0.1"
port = @PORT@
[device.mx2]
host = "127.0.0.1"
port = @PORT@
user = "lab2"
[kme.alice]
plugin = "kme-mock"
[kme.bob]
plugin = "kme-mock"
[[link]]
name = "mx1--mx2"
connectivity_association = "CA_basic"
initiator = { device = "mx1", interfaces = ["et-0/0/9"], kme = "alice", sae = "sae1" }
responders = [ { device = "mx2", interfaces = ["et-0/0/9"], kme = "bob", sae = "sae2" } ]
key_ids = { plugin = "keyid-memory" }
"""


def call(*arguments, cwd=None, env=None):
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    environment.update(env or {})
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=GENEROUS, cwd=cwd,
                          env=environment, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


class Usage(unittest.TestCase):
    def refused(self, *arguments, says):
        code, out, err = call(*arguments)
        self.assertEqual(code, 2, err)
        self.assertEqual(out, "")
        self.assertTrue(err.startswith("qkd-macsec: "), err)
        for word in says:
            self.assertIn(word, err)
        self.assertNotIn("terminate called", err)

    def test_wrong_usage_is_exit_2_and_says_what_and_where_to_read(self):
        self.refused(says=["a command is missing", "qkd-macsec --help"])
        self.refused("rnu", "x", says=["'rnu'", "did you mean 'run'", *COMMANDS])
        self.refused("run", says=["PIPELINE", "qkd-macsec run --help"])
        self.refused("run", "a", "b", says=["unexpected argument 'b'"])
        self.refused("run", "--lnk", "x", "a", says=["--lnk", "did you mean '--link'"])
        self.refused("run", "--lin", "x", "a", says=["--lin"])
        self.refused("run", "a", "--report", says=["'--report' needs a value"])
        self.refused("run", "a", "--dry-run=yes", says=["--dry-run"])
        self.refused("run", "a", "--report", "x", "--report", "y", says=["more than once"])
        self.refused("run", "a", "--dry-run", "--report", "x", says=["--dry-run", "--report"])
        self.refused("-v", "run", "a", says=["-v"])
        self.refused("check", "a", "--link", "x", says=["--link", "--online"])
        self.refused("plugins", says=["plugins list", "plugins inspect NAME"])
        self.refused("plugins", "inspect", says=["NAME"])
        self.refused("plugins", "inspekt", "x", says=["list", "inspect", "did you mean 'inspect'"])
        self.refused("plugins", "list", "x", says=["unexpected argument 'x'"])
        self.refused("plugins", "inspect", "x", "--json", "--sample", says=["--json", "--sample"])
        self.refused("--color", "red", "plugins", "list", says=["auto", "always", "never"])
        self.refused("plugins", "list", "--plugin-dir", "/does/not/exist", says=["/does/not/exist"])

    def test_commands_of_other_versions_are_not_known(self):
        self.refused("plugins", "new", "x", says=["new", "list", "inspect", "docs", "test"])

    def test_control_characters_are_shown_not_sent(self):
        _, _, err = call("\x1b[2Jx")
        self.assertNotIn("\x1b", err)

    def test_help_on_standard_output(self):
        for option in ("--help", "-h"):
            code, out, err = call(option)
            self.assertEqual((code, err), (0, ""))
            for command in COMMANDS:
                self.assertIn(command, out)
        for command in COMMANDS:
            for arguments in ((command, "--help"), ("--help", command), (command, "-h")):
                code, out, err = call(*arguments)
                self.assertEqual((code, err), (0, ""))
                for section in ("NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "EXAMPLES", "--plugin-dir"):
                    self.assertIn(section, out)
                self.assertLessEqual(max(map(len, out.splitlines())), 100)

    def test_version_before_and_after_the_command(self):
        for arguments in (("--version",), ("run", "--version"), ("--version", "plugins")):
            code, out, err = call(*arguments)
            self.assertEqual((code, err), (0, ""))
            self.assertRegex(out, r"^qkd-macsec \d+\.\d+\.\d+ \(plugin ABI \d+\.\d+\)\n$")

    def test_an_answer_that_gets_lost_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=GENEROUS)
        self.assertEqual(done.returncode, 3)
        self.assertIn("No space left", done.stderr)


class Plugins(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="qkd-cli-")
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o755)

    def put(self, name, content, mode=0o644):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)

    def test_list_json_has_what_programs_need(self):
        code, out, err = call("plugins", "list", "--json")
        self.assertEqual((code, err), (0, ""))
        listed = {plugin["name"]: plugin for plugin in json.loads(out)}
        self.assertEqual(listed["junos-netconf"]["status"], "ok")
        self.assertIsNone(listed["junos-netconf"]["reason"])
        self.assertIn("connect", listed["junos-netconf"]["stages"])
        self.assertRegex(listed["junos-netconf"]["version"], r"^\d+\.\d+")
        self.assertTrue(os.path.isfile(listed["junos-netconf"]["file"]))

    def test_list_is_the_same_from_any_directory_and_by_a_link(self):
        link = os.path.join(self.folder, "program")
        os.symlink(PROGRAM, link)
        _, here, _ = call("plugins", "list")
        self.assertEqual(call("plugins", "list", cwd="/")[1], here)
        done = subprocess.run([link, "plugins", "list"], capture_output=True, text=True, timeout=GENEROUS)
        self.assertEqual(done.stdout, here)
        for word in ("NAME", "VERSION", "STAGES", "STATUS", "ABI", "junos-netconf", "ok"):
            self.assertIn(word, here)

    def test_refused_files_are_shown_with_their_reason(self):
        self.put("libqkd-broken.so", b"this is no ELF file")
        self.put("libqkd-open.so", b"", 0o666)
        self.put("notes.txt", b"")
        code, out, _ = call("--plugin-dir", self.folder, "plugins", "list", "--json")
        self.assertEqual(code, 0)
        listed = {plugin["name"]: plugin for plugin in json.loads(out)}
        self.assertEqual(set(listed), {"broken", "open", "notes.txt"})
        for plugin in listed.values():
            self.assertEqual(plugin["status"], "refused")
            self.assertTrue(plugin["reason"])
            self.assertEqual(plugin["stages"], [])
        code, out, _ = call("--plugin-dir", self.folder, "plugins", "list")
        self.assertEqual(out.count("REFUSED"), 3, out)
        code, _, err = call("plugins", "inspect", "broken", "--plugin-dir", self.folder)
        self.assertEqual(code, 2)
        self.assertIn("hint:", err)

    def test_inspect_shows_fields_and_a_sample(self):
        code, out, _ = call("plugins", "inspect", "junos-netconf")
        self.assertEqual(code, 0)
        for word in ("[device.NAME]", "host", "required", "port", "830", "1..65535"):
            self.assertIn(word, out)
        code, out, _ = call("plugins", "inspect", "junos-netconf", "--json")
        fields = {field["key"]: field for field in json.loads(out)["fields"]}
        self.assertEqual(fields["port"]["default"], "830")
        self.assertEqual(fields["port"]["scope"], "device")
        self.assertFalse(fields["host"]["required"])
        code, out, _ = call("plugins", "inspect", "kme-etsi014", "--json")
        self.assertTrue(next(field for field in json.loads(out)["fields"] if field["key"] == "url")["required"])

    def test_every_sample_is_toml_that_names_its_plugin(self):
        import tomllib
        _, out, _ = call("plugins", "list", "--json")
        for plugin in json.loads(out):
            code, sample, _ = call("plugins", "inspect", plugin["name"], "--sample")
            self.assertEqual(code, 0)
            text = sample.replace("[link.key_ids]", "[[link]]\n[link.key_ids]")
            self.assertIn(plugin["name"], json.dumps(tomllib.loads(text)))
            # The defaults are right TOML as well.
            uncommented = "\n".join(line[2:] if line.startswith("# ") and " = " in line else line
                                    for line in text.splitlines()[1:])
            tomllib.loads(uncommented)


class WithPipeline(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="qkd-cli-")
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o755)
        for name in ("ssh.key", "seal.key"):
            self.write(name, "0123456789abcdef0123456789abcdef", 0o600)
        self.write("known_hosts", "")
        # A port that nobody else gets while the test runs, and on which nobody answers.
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.pipeline = self.write("pipeline.toml", self.text())

    def text(self):
        return PIPELINE.replace("@PORT@", str(self.listener.getsockname()[1]))

    def write(self, name, content, mode=0o644):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def call(self, *arguments, **more):
        return call(*arguments, cwd=self.folder, **more)


class Check(WithPipeline):
    def test_a_good_file(self):
        code, out, err = self.call("check", "pipeline.toml")
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual(out, "ok: pair: 1 link, 2 devices\n")

    def test_findings_are_the_answer_and_exit_2(self):
        self.write("bad.toml", self.text().replace("lead =", "laed =").replace('sae = "sae2"', 'sea = "sae2"'))
        code, out, err = self.call("check", "bad.toml")
        self.assertEqual(code, 2)
        self.assertRegex(out, r"(?m)^bad\.toml:17:1: .*laed.*did you mean 'lead'")
        self.assertRegex(out, r"\n\d+ errors, 0 warnings\n$")
        self.assertNotIn("\x1b", out)
        self.assertIn("\x1b[31m", self.call("check", "bad.toml", "--color", "always")[1])
        # run begins with the same check: on standard error, before anything is touched.
        code, out, err = self.call("run", "bad.toml", "--report", "report.json")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("did you mean 'lead'", err)
        self.assertEqual(sorted(os.listdir(self.folder)),
                         ["bad.toml", "known_hosts", "pipeline.toml", "seal.key", "ssh.key"])

    def test_a_missing_file(self):
        code, out, _ = self.call("check", "nowhere.toml")
        self.assertEqual(code, 2)
        self.assertIn("nowhere.toml", out)

    def test_online_names_every_device_that_does_not_answer(self):
        code, out, _ = self.call("check", "pipeline.toml", "--online")
        self.assertEqual(code, 1, out)
        for word in ("ok: pair", "PROBE", "mx1", "mx2", "failed", "hint:"):
            self.assertIn(word, out)


class Run(WithPipeline):
    def refused(self, *arguments, says, out=""):
        code, got, err = self.call(*arguments)
        self.assertEqual(code, 2, err)
        self.assertEqual(got, out)
        for word in says:
            self.assertIn(word, err)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "state")))

    def test_what_cannot_work_is_refused_before_any_connection(self):
        self.listener.listen()
        self.listener.setblocking(False)
        for command in (["run"], ["plan"], ["status"], ["run", "--dry-run"]):
            self.refused(*command, "pipeline.toml", "--link", "nix", says=["--link nix", "mx1--mx2"])
            self.refused(*command, "pipeline.toml", "--device", "nix", says=["--device nix", "mx1, mx2"])
            self.refused(*command, "pipeline.toml", "-t", "0", says=["--threads"])
            self.refused(*command, "pipeline.toml", "--log-format", "xml", says=["text", "json"])
            self.refused(*command, "pipeline.toml", "--profile", "nix/p.json", says=["nix"])
            self.refused(*command, "pipeline.toml", "--log-file", "nix/x.log", says=["cannot log to", "nix"])
            self.refused(*command, "pipeline.toml", "--log-to", "printer", says=["syslog", "journal"])
        self.refused("run", "pipeline.toml", "--report", "nix/r.json", says=["cannot write nix/r.json", "hint:"])
        self.refused("run", "pipeline.toml", "--report", ".", says=["folder"])
        self.refused("run", "pipeline.toml", "--as", "mx1", says=["--as", "offbox", "hint:"])
        os.symlink("pipeline.toml", os.path.join(self.folder, "trace.log"))
        self.refused("run", "pipeline.toml", "--trace", says=["trace.log"])
        with self.assertRaises(BlockingIOError):
            self.listener.accept()

    def test_on_box(self):
        self.write("onbox.toml", self.text().replace('"offbox"', '"onbox"').replace(
            '{ plugin = "keyid-memory" }', '{ plugin = "keyid-lldp", acknowledge = true, secret = "env:QKD_LINK_KEY" }'))
        self.refused("run", "onbox.toml", says=["onbox", "--as DEVICE"])
        self.refused("run", "onbox.toml", "--as", "nix", says=["mx1, mx2"])
        for command in ("plan", "status", "serve"):
            self.refused(command, "onbox.toml", says=["onbox", "--as DEVICE"])

    def test_a_failed_link_is_exit_1_with_report_and_profile(self):
        code, out, err = self.call("run", "pipeline.toml", "--report", "report.json", "--profile", "profile.json",
                                   "--trace")
        self.assertEqual(code, 1, err)
        with open(os.path.join(self.folder, "report.json")) as file:
            report = json.load(file)
        self.assertEqual((report["pipeline"], report["result"]), ("pair", "failure"))
        link = report["links"][0]
        self.assertEqual(link["result"], "failed")
        self.assertEqual(link["error"]["code"], "unreachable")
        self.assertIn(link["error"]["what"], out)
        self.assertIn("hint:", out)
        self.assertIn("failure: 1 link, 1 failed", out)
        self.assertIn("mx1--mx2", err)
        with open(os.path.join(self.folder, "profile.json")) as file:
            self.assertIn("mx1--mx2", [task["name"] for task in json.load(file)["tasks"]])
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.folder, "trace.log")).st_mode), 0o600)
        self.assertNotIn("\x1b", out + err)

    def test_a_log_file_keeps_information_and_goes_on(self):
        for _ in range(2):
            self.assertEqual(self.call("run", "pipeline.toml", "--log-file", "qkd.log")[0], 1)
        path = os.path.join(self.folder, "qkd.log")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path) as file:
            begun = [line for line in file if " info " in line and line.rstrip().endswith("rotation begins")]
        self.assertEqual(len({line.split()[2] for line in begun}), 2, "a run identity on every line")

    def test_plan_and_status_of_what_does_not_answer(self):
        for command in (["plan"], ["run", "--dry-run"], ["status"]):
            code, out, _ = self.call(*command, "pipeline.toml")
            self.assertEqual(code, 1, out)
            self.assertIn("hint:", out)
        code, out, _ = self.call("status", "pipeline.toml", "--json")
        self.assertEqual(code, 1)
        status = json.loads(out)
        self.assertEqual(status["health"], "down")
        self.assertEqual(status["links"][0]["members"][0]["error"]["code"], "unreachable")

    def test_json_log_is_nothing_but_json(self):
        code, _, err = self.call("run", "pipeline.toml", "--log-format", "json", "-vvv")
        self.assertEqual(code, 1)
        lines = [json.loads(line) for line in err.splitlines()]
        self.assertTrue(lines)
        for line in lines:
            self.assertLessEqual({"time", "level", "run_id", "link", "device", "stage", "plugin", "message"},
                                 set(line))
        self.assertEqual(len({line["run_id"] for line in lines}), 1)
        self.assertTrue(lines[0]["run_id"])

    def test_more_v_more_lines(self):
        counts = [len(self.call("run", "pipeline.toml", "--log-format", "json", *v)[2].splitlines())
                  for v in ([], ["-v"], ["-vv"], ["-vvv"], ["-v", "-v", "-v"])]
        self.assertEqual(counts, sorted(counts))
        self.assertLess(counts[0], counts[3])

    def interrupt(self, number, **popen):
        self.listener.listen()  # takes connections and says nothing
        process = subprocess.Popen([PROGRAM, "run", "pipeline.toml", "--report", "report.json"], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        self.listener.settimeout(GENEROUS)
        connection, _ = self.listener.accept()
        self.addCleanup(connection.close)
        process.send_signal(number)
        process.send_signal(number)  # impatience changes nothing
        out, err = process.communicate(timeout=GENEROUS)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("interrupted", err)
        self.assertIn("interrupted: 1 link", out)
        with open(os.path.join(self.folder, "report.json")) as file:
            self.assertEqual(json.load(file)["result"], "interrupted")

    def test_sigint_ends_in_good_order(self):
        self.interrupt(signal.SIGINT)

    def test_sigterm_ends_in_good_order(self):
        self.interrupt(signal.SIGTERM)

    def test_sigint_works_for_a_background_job(self):
        # Shells start those with SIGINT ignored.
        self.interrupt(signal.SIGINT, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))


class OnATerminal(WithPipeline):
    def run_on_terminal(self, *arguments, **env):
        """Output of a run whose standard error is a terminal."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        environment = {**os.environ, "TERM": "xterm", **env}
        self.listener.listen()
        process = subprocess.Popen([PROGRAM, *arguments], cwd=self.folder, stdout=subprocess.PIPE, stderr=slave,
                                   stdin=subprocess.DEVNULL, env=environment)
        os.close(slave)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        self.listener.settimeout(GENEROUS)
        connection, _ = self.listener.accept()
        self.addCleanup(connection.close)
        text = b""
        interrupted = False
        while True:
            if not select.select([master], [], [], GENEROUS)[0]:
                self.fail("nothing came within %d s after %r" % (GENEROUS, text))
            try:
                got = os.read(master, 4096)
            except OSError:  # the program closed the terminal
                break
            text += got
            # The block has been drawn a second time: enough seen.
            if not interrupted and b"\x1b[J" in text:
                process.send_signal(signal.SIGINT)
                interrupted = True
        process.communicate(timeout=GENEROUS)
        self.assertEqual(process.returncode, 130)
        return text.decode()

    def test_the_live_view_draws_in_place(self):
        text = self.run_on_terminal("run", "pipeline.toml")
        for word in ("mx1--mx2", "mx1", "mx2", "connect", "running", "\x1b[J", "interrupted"):
            self.assertIn(word, text)

    def test_no_color_is_heeded(self):
        text = self.run_on_terminal("run", "pipeline.toml", NO_COLOR="1")
        self.assertNotRegex(text, "\x1b\\[[0-9;]*m")


if __name__ == "__main__":
    unittest.main()
