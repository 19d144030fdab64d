"""qkd-macsec secret as a user calls it: sealing, changing the key, and what neither may ever do.

QKD_MACSEC names the program. What was sealed is opened here with the standard algorithm, not with the program itself, when
the package `cryptography` is there; else by the program's own rekey.
"""
import base64
import fcntl
import hashlib
import os
import pty
import select
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    AESGCM = None

PROGRAM = os.environ["QKD_MACSEC"]
GENEROUS = 60  # seconds; reached only when something hangs
SECRET = "it's 5 o'clock: \"tea\""

PIPELINE = """schema = 1
# The key and what it seals.
[pipeline]
name = "pair"
state = "state"   # beside this file
seal_key = "file:seal.key"   # 0600
inventory = "site.toml"

[defaults.device]
password = "@ONE@"
user = "lab"
"""
INVENTORY = """schema = 1
[device.mx1]
host = "192.0.2.1"
password = '@TWO@'
"""


def opened(sealed, key):
    octets = base64.b64decode(sealed.removeprefix("sealed:"), validate=True)
    return AESGCM(key).decrypt(octets[1:13], octets[13:], b"qkd-macsec secret\0\1").decode()


class Secret(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="qkd-secret-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.old, self.new = (self.key(name) for name in ("seal.key", "new.key"))
        self.pipeline = self.folder / "pair.toml"
        self.inventory = self.folder / "site.toml"

    def key(self, name):
        octets = os.urandom(32)
        (self.folder / name).write_text(octets.hex())
        (self.folder / name).chmod(0o600)
        return octets

    def call(self, *arguments, code=0, stdin=""):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=GENEROUS,
                              cwd=self.folder, input=stdin, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertNotIn(SECRET, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def seal(self, *arguments, secret=SECRET):
        out, _ = self.call("secret", "seal", *(arguments or ("--seal-key", "seal.key")), stdin=secret)
        self.assertRegex(out, r"\Asealed:[A-Za-z0-9+/]+=*\n\Z")
        return out.strip()

    def write(self):
        one, two = self.seal(), self.seal(secret="second")
        self.pipeline.write_text(PIPELINE.replace("@ONE@", one))
        self.inventory.write_text(INVENTORY.replace("@TWO@", two))

    def values(self):
        return (tomllib.loads(self.pipeline.read_text())["defaults"]["device"]["password"],
                tomllib.loads(self.inventory.read_text())["device"]["mx1"]["password"])

    def rekey(self, **more):
        return self.call("secret", "rekey", self.pipeline, "--new-key", "new.key", **more)

    @unittest.skipUnless(AESGCM, "python3-cryptography is not installed")
    def test_seal_is_aes_gcm_under_the_key_and_drops_one_line_end(self):
        for given, kept in ((SECRET, SECRET), (SECRET + "\n", SECRET), (SECRET + "\r\n", SECRET), ("a\n\n", "a\n"),
                            ("-----BEGIN X-----\n", "-----BEGIN X-----\n")):
            self.assertEqual(opened(self.seal(secret=given), self.old), kept)
        self.assertNotEqual(self.seal(), self.seal(), "the same secret must not look the same")

    def test_seal_takes_the_key_of_a_pipeline_that_is_not_finished(self):
        self.pipeline.write_text('[pipeline]\nname = "pair"\nseal_key = "file:seal.key"\nno such key = [')
        _, err = self.call("secret", "seal", self.pipeline, code=2, stdin=SECRET)
        self.assertIn("pair.toml:4:", err)  # but it has to be TOML
        self.pipeline.write_text('[pipeline]\nname = "pair"\nseal_key = "file:seal.key"\nwhatever = 1\n')
        self.seal(self.pipeline)
        self.pipeline.write_text('[pipeline]\nname = "pair"\n')
        _, err = self.call("secret", "seal", self.pipeline, code=2, stdin=SECRET)
        self.assertIn("seal_key", err)

    def test_seal_reads_a_private_file(self):
        path = self.folder / "secret.txt"
        path.write_text(SECRET + "\n")
        path.chmod(0o644)
        _, err = self.call("secret", "seal", "--seal-key", "seal.key", "--file", path, code=2)
        self.assertIn("chmod 600", err)
        path.chmod(0o600)
        out, _ = self.call("secret", "seal", "--seal-key", "seal.key", "--file", path)
        self.assertTrue(out.startswith("sealed:"))

    def test_seal_refuses_nothing_too_much_and_wrong_usage(self):
        for arguments, stdin, says in (
                (("seal", "--seal-key", "seal.key"), "", "no secret on standard input"),
                (("seal", "--seal-key", "seal.key"), "\n", "no secret on standard input"),
                (("seal", "--seal-key", "seal.key"), "x" * 70_000, "64 KiB"),
                (("seal",), SECRET, "--seal-key"), (("seal", "p", "--seal-key", "k"), SECRET, "the one or the other"),
                (("seal", "--seal-key", "absent.key"), SECRET, "openssl rand"),
                (("seel", "hush"), "", "did you mean 'seal'"), (("rekey",), "", "PIPELINE"),
                (("rekey", "p"), "", "--new-key")):
            _, err = self.call("secret", *arguments, code=2, stdin=stdin)
            self.assertIn(says, err)
            self.assertNotIn("hush", err)
        (self.folder / "seal.key").write_text("short")
        _, err = self.call("secret", "seal", "--seal-key", "seal.key", code=2, stdin=SECRET)
        self.assertIn("32 octets", err)

    def test_on_a_terminal_the_secret_is_not_shown(self):
        parent, child = pty.openpty()
        self.addCleanup(os.close, parent)
        program = subprocess.Popen([PROGRAM, "secret", "seal", "--seal-key", "seal.key"], cwd=self.folder, stdin=child,
                                   stdout=subprocess.PIPE, stderr=child)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        os.close(child)

        def until(word):
            seen = b""
            while word not in seen:
                self.assertTrue(select.select([parent], [], [], GENEROUS)[0], seen)
                seen += os.read(parent, 1000)
            return seen

        until(b"secret: ")
        os.write(parent, SECRET.encode() + b"\n")
        out, _ = program.communicate(timeout=GENEROUS)
        self.assertTrue(out.startswith(b"sealed:"), out)
        shown = b""
        while select.select([parent], [], [], 0)[0]:
            try:
                shown += os.read(parent, 1000)
            except OSError:  # the other end is closed
                break
        self.assertNotIn(SECRET.encode(), shown)

    def test_rekey_moves_pipeline_and_inventory_to_the_new_key(self):
        self.write()
        self.pipeline.chmod(0o640)
        before = self.values()
        rest = PIPELINE.replace('"file:seal.key"', '"file:new.key"')
        out, _ = self.rekey()
        self.assertIn("2 sealed values", out)
        after = self.values()
        self.assertEqual(self.pipeline.read_text(), rest.replace("@ONE@", after[0]), "comments and layout stay")
        self.assertEqual(self.inventory.read_text(), INVENTORY.replace("@TWO@", after[1]))
        self.assertEqual(self.pipeline.stat().st_mode & 0o777, 0o640)
        self.assertFalse(set(before) & set(after))
        if AESGCM:
            self.assertEqual([opened(value, self.new) for value in after], [SECRET, "second"])
        # The old key opens nothing any more: a file that still names it is refused.
        self.pipeline.write_text(self.pipeline.read_text().replace("new.key", "seal.key"))
        third = self.key("third.key")
        self.assertEqual(len(third), 32)
        _, err = self.call("secret", "rekey", self.pipeline, "--new-key", "third.key", code=2)
        self.assertIn("opens neither", err)

    def test_rekey_goes_on_where_it_was_interrupted(self):
        self.write()
        old = self.pipeline.read_text()
        self.rekey()
        done = self.inventory.read_text()
        self.pipeline.write_text(old)  # as if the power had failed between the two files
        out, _ = self.rekey()
        self.assertIn("2 sealed values", out)
        self.assertEqual(self.inventory.read_text(), done)
        if AESGCM:
            self.assertEqual([opened(value, self.new) for value in self.values()], [SECRET, "second"])

    def test_rekey_names_the_key_where_there_was_none(self):
        state = self.folder / "state"
        state.mkdir(mode=0o700)
        shutil.copy(self.folder / "seal.key", state / "seal.key")
        self.write()
        self.pipeline.write_text(self.pipeline.read_text().replace('seal_key = "file:seal.key"   # 0600\n', ""))
        self.rekey()
        self.assertEqual(tomllib.loads(self.pipeline.read_text())["pipeline"]["seal_key"], "file:new.key")

    def test_rekey_refuses_while_a_rotation_is_unfinished_or_somebody_runs_it(self):
        self.write()
        journal = self.folder / "state" / "journal"
        journal.mkdir(parents=True, mode=0o700)
        (self.folder / "state").chmod(0o700)
        (journal / "mx1--mx2.journal").write_bytes(b"QKDJ\1")
        before = self.values()
        _, err = self.rekey(code=2)
        self.assertIn("unfinished rotation", err)
        self.assertIn("qkd-macsec run", err)
        (journal / "mx1--mx2.journal").unlink()
        lock = self.folder / "state" / "lock"
        with open(lock, "a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            locks = [path.name for path in (self.folder / "state").iterdir()]
            _, err = self.call("secret", "rekey", self.pipeline, "--new-key", "new.key", code=2)
            self.assertIn("state", err, locks)
        self.assertEqual(self.values(), before)
        self.rekey()

    def test_rekey_refuses_while_records_are_sealed(self):
        self.write()
        self.pipeline.write_text(self.pipeline.read_text() + '[[stage]]\nkind = "persist"\nsealed = true\n')
        before = self.values()
        _, err = self.rekey(code=2)
        self.assertIn("sealed = false", err)
        self.assertEqual(self.values(), before)
        self.pipeline.write_text(self.pipeline.read_text().replace("sealed = true", "sealed = false"))
        self.rekey()

    def test_rekey_changes_nothing_when_it_cannot_do_it_all(self):
        self.write()
        cases = {
            "a value of another key": lambda t: t + f'x = "{self.other()}"\n',
            "seal_key within an inline table": lambda t: t.replace("[pipeline]", "[[pipeline]]"),
            "no string": lambda t: t.replace('"file:seal.key"', '["command:", "cat", "seal.key"]'),
            "the same key": lambda t: t.replace("seal.key", "new.key"),
            "broken": lambda t: t + "[",
        }
        good = self.pipeline.read_text()
        for name, change in cases.items():
            with self.subTest(name):
                self.pipeline.write_text(change(good))
                before = self.pipeline.read_text(), self.inventory.read_text()
                self.rekey(code=2)
                self.assertEqual((self.pipeline.read_text(), self.inventory.read_text()), before)
        self.assertEqual([p.name for p in self.folder.iterdir() if p.name.startswith(".")], [], "a draft stayed")

    def test_a_passphrase_makes_the_key(self):
        (self.folder / "words").write_text("correct horse battery\n")
        (self.folder / "words").chmod(0o600)
        out, _ = self.call("secret", "passphrase", "words")
        self.assertRegex(out, r"\Ascrypt:1,17,8,1,[A-Za-z0-9+/]{22}==,file:words\n\Z")
        made = out.strip()
        self.assertNotEqual(out, self.call("secret", "passphrase", "words")[0], "each has a salt of its own")
        self.write()
        self.call("secret", "rekey", self.pipeline, "--new-key", made)
        self.assertEqual(tomllib.loads(self.pipeline.read_text())["pipeline"]["seal_key"], made)
        third = self.seal(self.pipeline, secret="third")
        if AESGCM:
            salt = made.split(",")[4]
            key = hashlib.scrypt(b"correct horse battery", salt=base64.b64decode(salt), n=2 ** 17, r=8, p=1, dklen=32,
                                 maxmem=2 ** 28)
            self.assertEqual([opened(value, key) for value in (*self.values(), third)], [SECRET, "second", "third"])
        # And back to a key of its own.
        self.rekey()
        if AESGCM:
            self.assertEqual([opened(value, self.new) for value in self.values()], [SECRET, "second"])

    def test_a_passphrase_that_is_none_is_refused(self):
        for text, says in (("short\n", "shorter than 12"), ("", "empty")):
            (self.folder / "words").write_text(text)
            (self.folder / "words").chmod(0o600)
            _, err = self.call("secret", "passphrase", "words", code=2)
            self.assertIn(says, err)
            self.assertNotIn("short\n", err)
        self.call("secret", "passphrase", code=2)
        self.call("secret", "passphrase", "sealed:QUJD", code=2)
        self.call("secret", "passphrase", "absent", code=2)

    def test_the_key_may_be_a_credential_of_the_unit(self):
        directory = self.folder / "credentials"
        directory.mkdir()
        (directory / "ring").write_text(self.old.hex() + "\n")
        (directory / "ring").chmod(0o400)
        os.environ["CREDENTIALS_DIRECTORY"] = str(directory)
        self.addCleanup(os.environ.pop, "CREDENTIALS_DIRECTORY")
        sealed = self.seal("--seal-key", "credential:ring")
        if AESGCM:
            self.assertEqual(opened(sealed, self.old), SECRET)
        os.environ["CREDENTIALS_DIRECTORY"] = str(self.folder / "nowhere")
        _, err = self.call("secret", "seal", "--seal-key", "credential:ring", code=2, stdin=SECRET)
        self.assertIn("does not exist", err)

    def other(self):
        self.key("other.key")
        return self.seal("--seal-key", "other.key")


if __name__ == "__main__":
    unittest.main()
