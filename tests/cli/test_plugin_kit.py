"""`plugins docs` and `plugins test` as a user calls them; every README's table is the one its plugin's descriptor gives.

QKD_MACSEC names the program; its plugins lie beside it.
"""
import json
import os
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

PROGRAM = os.environ["QKD_MACSEC"]
PLUGINS = Path(__file__).resolve().parents[2] / "plugins"


def call(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def ours():
    """{name: entry of `plugins list`} of those that lie in this tree."""
    _, out, _ = call("plugins", "list", "--json")
    return {plugin["name"]: plugin for plugin in json.loads(out) if (PLUGINS / plugin["name"]).is_dir()}


class Docs(unittest.TestCase):
    def test_every_readme_holds_what_the_descriptor_says(self):
        self.assertIn("kme-mock", ours())
        for name in ours():
            with self.subTest(name):
                code, table, err = call("plugins", "docs", name)
                self.assertEqual((code, err), (0, ""))
                self.assertIn(table, (PLUGINS / name / "README.md").read_text(),
                              f"run: qkd-macsec plugins docs {name} --into plugins/{name}/README.md")

    def test_the_main_readme_names_every_plugin_and_pipeline(self):
        readme = (PLUGINS.parent / "README.md").read_text()
        for name, plugin in ours().items():
            row = f"| [{name}](plugins/{name}/README.md) | {', '.join(plugin['stages'])} | {plugin['summary']} |\n"
            self.assertIn(row, readme)
        for file in (PLUGINS.parent / "pipelines").glob("*.toml"):
            self.assertIn(f"| `{file.name}` |", readme)

    def test_the_table_is_put_between_its_lines_and_nowhere_else(self):
        with tempfile.TemporaryDirectory() as folder:
            readme = Path(folder) / "README.md"
            readme.write_text("before\n<!-- fields: `qkd-macsec plugins docs` -->\nold\n<!-- end of fields -->\nafter\n")
            self.assertEqual(call("plugins", "docs", "kme-mock", "--into", readme)[0], 0)
            self.assertEqual(readme.read_text(), "before\n" + call("plugins", "docs", "kme-mock")[1] + "after\n")
            readme.write_text("no place\n")
            code, _, err = call("plugins", "docs", "kme-mock", "--into", readme)
            self.assertEqual((code, readme.read_text()), (2, "no place\n"))
            self.assertIn("<!-- end of fields -->", err)


class Test(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "plugin.toml"

    def test_a_good_plugin_keeps_the_laws_without_a_file(self):
        for name in ("kme-mock", "persist-file", "keyid-memory"):
            with self.subTest(name):
                code, out, err = call("plugins", "test", name, "--json")
                self.assertEqual(code, 0, out + err)
                result = json.loads(out)
                self.assertTrue(result["kept"])
                self.assertEqual(result["broken"], 0)
                self.assertGreater(result["held"], 10)
                for law in result["laws"]:
                    self.assertIn(law["verdict"], ("held", "not tried"))
                    self.assertTrue(law["verdict"] == "held" or law["detail"], law)

    def test_a_broken_law_is_exit_1_and_says_what_was_seen(self):
        self.file.write_text('[kme.x]\nplugin = "kme-mock"\nfail = "fetch:not_found"\n')
        code, out, _ = call("plugins", "test", "kme-mock", "--config", self.file)
        self.assertEqual(code, 1)
        line = next(line for line in out.splitlines() if line.startswith("key-source.same "))
        self.assertIn("BROKEN", line)
        self.assertIn("fetch failed", line)

    def test_two_tables_are_the_two_ends(self):
        self.file.write_text('[kme.a]\nplugin = "kme-mock"\n[kme.b]\nplugin = "kme-mock"\nseed = "another"\n')
        code, out, _ = call("plugins", "test", "kme-mock", "--config", self.file, "--json")
        self.assertEqual(code, 1)
        self.assertIn("key-source.same", [law["law"] for law in json.loads(out)["laws"] if law["verdict"] == "broken"])

    def test_what_cannot_be_configured_is_exit_2_before_anything_is_tried(self):
        for text, word in (('[kme.a]\nplugin = "kme-mock"\nsed = "x"\n', "did you mean 'seed'"),
                           ('[kme.a]\nplugin = "kme-skip"\n', "no table with plugin"),
                           ("[kme.a\n", "plugin.toml:1")):
            self.file.write_text(text)
            code, out, err = call("plugins", "test", "kme-mock", "--config", self.file)
            self.assertEqual((code, out), (2, ""), err)
            self.assertIn(word, err)
        code, out, err = call("plugins", "test", "certs-x509")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("missing key 'directory'", err)
        self.assertIn("--config FILE", err)
        self.assertEqual(call("plugins", "test", "absent")[0], 2)

    def test_laws_without_a_counterpart_are_not_tried_and_say_why(self):
        with socket.socket() as listener:  # bound and deaf
            listener.bind(("127.0.0.1", 0))
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            self.file.write_text(f'[kme.a]\nplugin = "kme-mock"\nurl = "{url}"\n')
            code, out, err = call("plugins", "test", "kme-mock", "--config", self.file, "--json")
        laws = {law["law"]: law for law in json.loads(out)["laws"]}
        self.assertEqual(laws["key-source.same"]["verdict"], "not tried")
        self.assertIn("no KME", laws["key-source.same"]["detail"])
        self.assertIn("nobody listens", err)
        self.assertEqual(laws["key-source.deadline"]["verdict"], "broken", "kme-mock calls nobody")
        self.assertEqual(code, 1)

    def test_a_transport_without_its_wires_is_not_tried_and_says_what_it_needs(self):
        secret = self.file.with_name("secret")
        secret.touch(mode=0o600)
        secret.write_text("the secret of this link, 32 octets")
        for name, table, reason in (("keyid-88b7", f', secret = "file:{secret}"', "the laws run on wires between interfaces"),
                                    ("keyid-lldpd", "", "one end of a link in each process")):
            if name not in ours():
                continue  # built without liblldpctl
            with self.subTest(name):
                self.file.write_text(f'[[link]]\nkey_ids = {{ plugin = "{name}"{table} }}\n')
                code, out, err = call("plugins", "test", name, "--config", self.file, "--json")
                self.assertEqual(code, 0, out + err)
                laws = [law for law in json.loads(out)["laws"] if law["law"].startswith("key-id-transport.")]
                self.assertGreater(len(laws), 10)
                for law in laws:
                    self.assertEqual(law["verdict"], "not tried", law)
                    self.assertIn(reason, law["detail"])

    def test_options_belong_to_their_actions(self):
        for words in (("test", "kme-mock", "--sample"), ("docs", "kme-mock", "--json"), ("list", "--config", "x"),
                      ("inspect", "kme-mock", "--into", "x"), ("test",), ("docs",)):
            code, out, err = call("plugins", *words)
            self.assertEqual((code, out), (2, ""), err)


if __name__ == "__main__":
    unittest.main()
