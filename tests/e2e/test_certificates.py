"""Certificates: made, fetched, renewed in time, tried at the KME before the old ones go, and taken back when refused."""
import shutil
import subprocess
import unittest
from pathlib import Path

from qkd_lab import Lab, assert_secured


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)
    if done.returncode:
        raise AssertionError(f"openssl {words}: {done.stderr}")
    return done.stdout


def issue(ca, stem, name, days):
    """A client certificate of the CA in the folder `ca`, good for so many days."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256", "-days", days,
            "-subj", f"/CN={name}", "-CA", ca / "root.crt", "-CAkey", ca / "root.key", "-addext",
            "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=clientAuth", "-keyout", f"{stem}.key",
            "-out", f"{stem}.crt")
    Path(f"{stem}.key").chmod(0o600)


def days_left(cert, days):
    """Is the certificate still good in so many days?"""
    return subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-checkend", str(days * 86400)], capture_output=True,
                          timeout=60, check=False).returncode == 0


def on_device(lab, device, name):
    found = sorted((lab.folder / "devices" / device / "fs" / "var" / "home").glob(f"*/certs/{name}"))
    return found[0] if found else None


class Certificates(unittest.TestCase):
    def test_nine_days_are_renewed_and_eleven_are_not(self):
        with Lab() as lab:
            certs = lab.folder / "certs"
            nine, eleven = lab.pipeline["device"]
            issue(certs, certs / nine, nine, 9)
            issue(certs, certs / eleven, eleven, 11)
            before = {name: (certs / f"{name}.crt").read_bytes() for name in (nine, eleven)}
            plan = lab.qkd("plan", lab.pipeline_file)
            self.assertIn(f"{nine}.crt and its key (the certificate expires", plan.out, plan)
            self.assertNotIn(f"{eleven}.crt and its key", plan.out, plan)

            done = lab.run("-v")
            self.assertEqual(done.code, 0, done)
            assert_secured(self, lab, done)
            self.assertNotEqual((certs / f"{nine}.crt").read_bytes(), before[nine])
            self.assertTrue(days_left(certs / f"{nine}.crt", 300))
            self.assertEqual((certs / f"{eleven}.crt").read_bytes(), before[eleven])
            self.assertIn(f"accepted the new certificate of {nine}", done.err)
            self.assertEqual(list(certs.glob("*.before")), [], "the KME accepted it, so the old one is gone")
            for name in (nine, eleven):
                for kind, closed in (("crt", 0o133), ("key", 0o177)):
                    copy = on_device(lab, name, f"{name}.{kind}")
                    self.assertEqual(copy.read_bytes(), (certs / f"{name}.{kind}").read_bytes())
                    self.assertEqual(copy.stat().st_mode & closed, 0)
                self.assertIsNone(on_device(lab, name, "root.key"), "the CA's key is nobody's business on a router")

            renewed = {name: (certs / f"{name}.crt").read_bytes() for name in (nine, eleven)}
            forced = lab.run("--renew-certs")
            self.assertEqual(forced.code, 0, forced)
            for name in (nine, eleven):
                self.assertNotEqual((certs / f"{name}.crt").read_bytes(), renewed[name])
                self.assertEqual(on_device(lab, name, f"{name}.crt").read_bytes(), (certs / f"{name}.crt").read_bytes())
            for text in (done.out, done.err, forced.out, forced.err):
                self.assertNotIn("PRIVATE KEY", text)

    def test_a_certificate_that_the_kme_refuses_gives_way_to_the_old_one(self):
        with Lab() as lab:
            certs = lab.folder / "certs"
            device, _ = lab.pipeline["device"]
            first = lab.run()
            self.assertEqual(first.code, 0, first)
            issue(certs, certs / device, device, 9)
            old = (certs / f"{device}.crt").read_bytes()
            # The KME answers 401 to the first status request, as one does that does not know the certificate.
            lab.kme_faults({"sae": device, "call": "status", "nth": 1, "action": "error", "status": 401,
                            "message": "who are you?"})
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            assert_secured(self, lab, done)
            self.assertIn("refused the new certificate", done.err)
            self.assertEqual((certs / f"{device}.crt").read_bytes(), old)
            self.assertEqual(list(certs.glob("*.before")), [])
            lab.kme_faults()
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            self.assertNotEqual((certs / f"{device}.crt").read_bytes(), old)

    def test_the_ca_comes_from_a_server_and_its_key_stays_there(self):
        with Lab() as lab:
            certs, server = lab.folder / "certs", list(lab.pipeline["device"])[1]
            there = lab.folder / "devices" / server / "fs" / "opt" / "ca"
            there.mkdir(parents=True)
            for name in ("root.crt", "root.key"):
                shutil.copy(certs / name, there / name)
            table = lab.pipeline["device"][server]
            fresh = lab.folder / "fresh"
            lab.change(r'^ca = "provided"$',
                       'ca = "fetch"\nca_host = "127.0.0.1"\nca_port = %d\nca_user = "%s"\nca_ssh_key = "%s"\n'
                       'ca_known_hosts = "%s"\nca_cert_file = "/opt/ca/root.crt"\nca_key_file = "/opt/ca/root.key"'
                       % (table["port"], table["user"], table["ssh_key"], table["known_hosts"]), count=1)
            lab.change(f'"{certs}"', f'"{fresh}"')
            lab.change(f'"{certs}/', f'"{fresh}/')
            lab.change(f'"file:{certs}/', f'"file:{fresh}/')
            plan = lab.qkd("plan", lab.pipeline_file)
            self.assertEqual(plan.code, 0, plan)
            self.assertIn("fetch the CA", plan.out)
            self.assertFalse(fresh.exists())
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            assert_secured(self, lab, done)
            self.assertEqual((fresh / "root.crt").read_bytes(), (certs / "root.crt").read_bytes())
            self.assertFalse((fresh / "root.key").exists())


if __name__ == "__main__":
    unittest.main()
