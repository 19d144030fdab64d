"""No key, CAK, password or private key in anything the program writes, with every knob turned to talkative."""
import base64
import re
import unittest

from qkd_lab import Lab


def forms(key_hex):
    raw = bytes.fromhex(key_hex)
    return {key_hex.lower(), key_hex.upper(), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}


class Secrecy(unittest.TestCase):
    def test_nothing_that_is_written_holds_a_secret(self):
        with Lab() as lab:
            texts = {}
            for index in range(2):
                done = lab.run("-vvv", "--trace", "--profile", lab.folder / f"profile-{index}.json")
                self.assertEqual(done.code, 0, done)
                texts[f"stdout {index}"], texts[f"stderr {index}"] = done.out, done.err
                texts[f"trace.log {index}"] = (lab.folder / "trace.log").read_text()
            # A failing rotation talks more than one that works.
            lab.kme_faults({"call": "dec_keys", "every": True, "action": "wrong-id"})
            lab.change(r"^dec_retry_window = .*$", 'dec_retry_window = "0s"')
            failed = lab.run("-vvv", "--trace")
            self.assertEqual(failed.code, 1, failed)
            texts["failed"] = failed.out + failed.err + (lab.folder / "trace.log").read_text()
            for command in (["plan"], ["status"], ["status", "--json"], ["check", "--online"]):
                done = lab.qkd(command[0], lab.pipeline_file, *command[1:], "-vvv")
                texts[" ".join(command)] = done.out + done.err
            for path in [*lab.folder.glob("*.json"), *(lab.folder / "state").rglob("*")]:
                if path.is_file() and path.name != "lab.json":
                    texts[str(path)] = path.read_bytes().decode("latin-1")
            self.assertTrue(any("trace.log" in name for name in texts))
            self.assertEqual((lab.folder / "trace.log").stat().st_mode & 0o777, 0o600)

            secrets = set()
            for line in lab.kme_audit():
                if line.get("key"):
                    secrets |= forms(line["key"])
            for device in lab.pipeline["device"]:
                for secret in lab.secrets_of(device):
                    secrets |= forms(secret)
            self.assertGreater(len(secrets), 12, "the test must know what it looks for")
            for key in [*(lab.folder / "certs").glob("*.key"), lab.folder / "ssh" / "id_ed25519"]:
                body = [l for l in key.read_text().splitlines() if l and "-----" not in l]
                secrets.add(body[0])
                secrets.add(body[-1] if len(body[-1]) > 16 else body[0])
            for name, text in texts.items():
                for secret in secrets:
                    self.assertNotIn(secret, text, f"a secret stands in {name}")
                self.assertIsNone(re.search(r"\$9\$[./A-Za-z0-9-]{8}", text), f"a reversible secret stands in {name}")


if __name__ == "__main__":
    unittest.main()
