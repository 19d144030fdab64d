"""qkd-macsec import as a user calls it: what is written, with which modes, and that nothing is overwritten or left behind.

QKD_MACSEC names the program; its plugins lie beside it.
"""
import base64
import os
import shutil
import stat
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

PROGRAM = os.environ["QKD_MACSEC"]
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import"
PASSWORD = "correct horse battery"
CA_PASSWORD = "staple staple 12"
GENEROUS = 60  # seconds; reached only when something hangs


class Import(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="qkd-import-"))
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copy(GOLDEN / "targets.yaml", self.folder)

    def call(self, *arguments, code=0, cwd=None):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=GENEROUS,
                              cwd=cwd or self.folder, stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)
        self.assertNotIn(CA_PASSWORD, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def seal_key(self):
        (self.folder / "seal.key").write_text(os.urandom(32).hex() + "\n")
        (self.folder / "seal.key").chmod(0o600)

    def test_the_golden_example_is_a_pipeline_that_check_passes(self):
        out, err = self.call("import", "targets.yaml", "-o", "ring.toml")
        self.assertEqual(self.names(), ["known_hosts", "ring.device-password", "ring.toml", "targets.yaml"])
        for name in ("ring.toml", "ring.device-password", "known_hosts"):
            self.assertIn(f"wrote {name}\n", out)
        self.assertEqual((self.folder / "ring.toml").read_text(), (GOLDEN / "ring.toml").read_text())
        self.assertEqual((self.folder / "ring.device-password").read_text(), PASSWORD + "\n")
        self.assertEqual(stat.S_IMODE((self.folder / "ring.device-password").stat().st_mode), 0o600)
        self.assertIn("targets.yaml:5:", err)  # start_time is not carried over
        (self.folder / "certs").mkdir()
        for name in ("root.crt", "root.key"):  # what the user brings, as with the script
            (self.folder / "certs" / name).touch(mode=0o600)
        out, _ = self.call("check", "ring.toml")
        self.assertIn("ok: ring: 1 link, 4 devices", out)

    def test_json_gives_the_same_pipeline(self):
        shutil.copy(GOLDEN / "targets.json", self.folder)
        self.call("import", "targets.yaml", "-o", "yaml.toml")
        self.call("import", "targets.json", "-o", "json.toml")
        one, other = (tomllib.loads((self.folder / name).read_text()) for name in ("yaml.toml", "json.toml"))
        for pipeline in (one, other):
            pipeline["pipeline"].pop("name")
            pipeline["defaults"]["device"].pop("password")
        self.assertEqual(one, other)

    def test_with_a_seal_key_secrets_stand_sealed_in_the_file(self):
        self.seal_key()
        text = (self.folder / "targets.yaml").read_text().replace("fetch: false", "fetch: true")
        (self.folder / "targets.yaml").write_text(text)
        self.call("import", "targets.yaml", "-o", "ring.toml", "--seal-key", "seal.key")
        self.assertEqual(self.names(), ["known_hosts", "ring.toml", "seal.key", "targets.yaml"])
        pipeline = tomllib.loads((self.folder / "ring.toml").read_text())
        self.assertEqual(pipeline["pipeline"]["seal_key"], "file:seal.key")
        certs = next(stage for stage in pipeline["stage"] if stage["kind"] == "certs")
        for sealed, plain in ((pipeline["defaults"]["device"]["password"], PASSWORD), (certs["ca_password"], CA_PASSWORD)):
            self.assertTrue(sealed.startswith("sealed:"), sealed)
            octets = base64.b64decode(sealed.removeprefix("sealed:"), validate=True)
            self.assertEqual(len(octets), 1 + 12 + len(plain) + 16)
            self.assertNotIn(plain.encode(), octets)

    def test_the_output_may_lie_elsewhere(self):
        (self.folder / "etc").mkdir()
        self.call("import", "targets.yaml", "-o", "etc/ring.toml")
        self.assertEqual(sorted(path.name for path in (self.folder / "etc").iterdir()),
                         ["known_hosts", "ring.device-password", "ring.toml"])
        pipeline = tomllib.loads((self.folder / "etc" / "ring.toml").read_text())
        self.assertEqual(pipeline["defaults"]["device"]["password"], "file:ring.device-password")

    def test_an_ssh_key_takes_the_password_s_place(self):
        self.call("import", "targets.yaml", "-o", "ring.toml", "--ssh-key", "id", "--known-hosts", "kh")
        self.assertEqual(self.names(), ["ring.toml", "targets.yaml"])
        device = tomllib.loads((self.folder / "ring.toml").read_text())["defaults"]["device"]
        self.assertEqual(device["ssh_key"], f"file:{self.folder}/id")
        self.assertEqual(device["known_hosts"], f"{self.folder}/kh")
        self.assertNotIn("password", device)

    def test_nothing_is_overwritten_and_nothing_is_left_behind(self):
        for name in ("ring.toml", "ring.device-password"):
            with self.subTest(name):
                path = self.folder / name
                path.write_text("precious")
                before = self.names()
                _, err = self.call("import", "targets.yaml", "-o", "ring.toml", code=2)
                self.assertIn(f"{name} is there already", err)
                self.assertEqual(path.read_text(), "precious")
                self.assertEqual(self.names(), before)
                path.unlink()
        (self.folder / "ring.toml").symlink_to("nowhere")
        self.call("import", "targets.yaml", "-o", "ring.toml", code=2)
        self.assertEqual(self.names(), ["ring.toml", "targets.yaml"])

    def test_known_hosts_that_are_there_are_used(self):
        (self.folder / "known_hosts").write_text("192.0.2.21 ssh-ed25519 AAAA\n")
        out, _ = self.call("import", "targets.yaml", "-o", "ring.toml")
        self.assertNotIn("wrote known_hosts", out)
        self.assertEqual((self.folder / "known_hosts").read_text(), "192.0.2.21 ssh-ed25519 AAAA\n")

    def test_what_cannot_be_read_writes_nothing(self):
        for content, says in (("secrets: [", "no YAML or JSON"), ("qkd_roles: {master: x}\n", "no slave"), ("", "not a map")):
            (self.folder / "targets.yaml").write_text(content)
            _, err = self.call("import", "targets.yaml", "-o", "ring.toml", code=2)
            self.assertIn(says, err)
            self.assertIn("nothing was written", err)
            self.assertEqual(self.names(), ["targets.yaml"])

    def test_usage(self):
        for arguments, says in ((("import",), "TARGETS is missing"), (("import", "targets.yaml"), "-o PIPELINE"),
                                (("import", "absent.yaml", "-o", "x"), "absent.yaml"),
                                (("import", "targets.yaml", "-o", "no/x"), "existing folder"),
                                (("import", "targets.yaml", "-o", "x", "--seal-key", "absent"), "openssl rand")):
            _, err = self.call(*arguments, code=2)
            self.assertIn(says, err)
        self.assertEqual(self.names(), ["targets.yaml"])

    def test_without_a_password_it_asks_for_a_key_and_never_prompts(self):
        text = (self.folder / "targets.yaml").read_text().replace(f'  password: "{PASSWORD}"\n', "")
        (self.folder / "targets.yaml").write_text(text)
        _, err = self.call("import", "targets.yaml", "-o", "ring.toml", code=2)
        self.assertIn("--ssh-key", err)


if __name__ == "__main__":
    unittest.main()
