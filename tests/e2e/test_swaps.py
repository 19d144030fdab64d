"""Swappable: in one lab, with one pipeline file, only the lines of a transport or a key source change, and every link is keyed."""
import contextlib
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

from qkd_lab import DEADLINE, REPOSITORY, Lab, Wires, assert_secured
from onbox_lab import OnboxLab

PORTS = 'ports = ["mx304-11 et-0/0/0=wire0", "mx304-12 et-0/0/0=wire1"]'
TRANSPORTS = {
    "keyid-memory": 'key_ids = { plugin = "keyid-memory" }',
    "keyid-scp": 'key_ids = { plugin = "keyid-scp", directory = "/var/tmp/qkd-macsec" }',
    "keyid-lldp": 'key_ids = { plugin = "keyid-lldp" }',
    "keyid-88b7": f'key_ids = {{ plugin = "keyid-88b7", secret = "env:LINK_SECRET", {PORTS} }}',
}
# On-box, where each end has a process: what meets on the link itself. SOCKET is that of the member's own lldpd.
ON_THE_LINK = {
    "keyid-88b7": TRANSPORTS["keyid-88b7"],
    "keyid-lldpd": f'key_ids = {{ plugin = "keyid-lldpd", secret = "env:LINK_SECRET", {PORTS}, socket = "SOCKET" }}',
}
LLDPD = "/usr/sbin/lldpd"
# What a KME's log shows when it is asked so.
SOURCES = {
    "kme-etsi014": ["/enc_keys", "/dec_keys"],
    "kme-skip": ["GET /key?remoteSystemID=", "GET /key/"],
    "kme-rest": ["POST /api/v1/keys/request", "GET /api/v1/keys/"],
    "kme-mock": [],
}
SECRET = {"LINK_SECRET": "the secret of this link, 32 octets"}


def described_api():
    """The lines by which kme-rest knows what the lab's KMEs speak."""
    loader = importlib.machinery.SourceFileLoader("lab", str(REPOSITORY / "scripts" / "lab"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("lab", loader))
    loader.exec_module(module)
    return module.outline_api()


def source_lines(name):
    return "\n".join([f'plugin = "{name}"', *(described_api() if name == "kme-rest" else [])])


def swapped(text, key_ids, sources):
    """A lab's file with other lines for the link's transport and for each KME's plugin, and no other change."""
    names = iter(sources)
    text, links = re.subn(r"^key_ids = .*$", lambda _: key_ids, text, flags=re.MULTILINE)
    text, kmes = re.subn(r'^plugin = "kme-etsi014"$', lambda _: source_lines(next(names)), text, flags=re.MULTILINE)
    assert links and kmes == len(sources), text
    return text


@contextlib.contextmanager
def lldpd_at_both_ends(devices):
    """A daemon for each device, on its end of the wire: {device: its socket}."""
    with tempfile.TemporaryDirectory(prefix="qkd-lldpd-") as folder, contextlib.ExitStack() as stack:
        os.chmod(folder, 0o711)  # its unprivileged half must get in
        Path("/run/lldpd").mkdir(exist_ok=True)  # where it locks that half up
        sockets = {device: f"{folder}/{device}.sock" for device in devices}
        for end, control in enumerate(sockets.values()):
            # It looks into /sys, which shows the interfaces of the namespace that mounted it. -C: each is a machine of its own.
            daemon = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", 'mount -t sysfs sysfs /sys && exec "$@"', "sh", LLDPD, "-d", "-u", control,
                 "-p", f"{control}.pid", "-I", f"wire{end}", "-C", f"wire{end}", "-O", "/dev/null"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(daemon.wait, DEADLINE)
            stack.callback(daemon.terminate)
            # It begins paused, and whoever is paused hears nothing.
            until = time.monotonic() + DEADLINE
            while subprocess.run(["lldpcli", "-u", control, "resume"], check=False, capture_output=True, timeout=DEADLINE,
                                 env={"PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}).returncode:
                if daemon.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"lldpd does not answer; exit {daemon.returncode}")
                time.sleep(0.02)
        yield sockets


class Swaps(unittest.TestCase):
    def swap(self, lab, original, transport, sources):
        lab.pipeline_file.write_text(swapped(original, TRANSPORTS[transport], sources))

    def rotate(self, lab, transport, sources):
        """One run: the link ends secured, by the plugins that were named, and the KMEs were asked in their APIs."""
        log = lab.folder / "kme" / "log"
        before = log.read_text()
        done = lab.run(env=SECRET)
        self.assertEqual(done.code, 0, done)
        assert_secured(self, lab, done)
        for member, source in zip(done.link()["members"], sources):
            used = {stage["kind"]: stage["plugin"] for stage in member["stages"]}
            self.assertEqual((used["key-id-transport"], used["key-source"]), (transport, source), done)
        asked = log.read_text()[len(before):]
        for source in set(sources):
            for word in SOURCES[source]:
                self.assertTrue(word in asked or len(set(sources)) > 1, f"{word} was not asked: {asked}")
        return done

    def test_every_transport_with_every_key_source(self):
        impossible = Wires.impossible()
        keys = set()
        with Wires(0 if impossible else 1), Lab("--rollover", "pre-shared-key") as lab:  # quick: no lead
            original = lab.pipeline_file.read_text()
            for source in SOURCES:
                for transport in TRANSPORTS:
                    with self.subTest(transport=transport, source=source):
                        if transport == "keyid-88b7" and impossible:
                            self.skipTest(impossible)
                        self.swap(lab, original, transport, [source, source])
                        done = self.rotate(lab, transport, [source, source])
                        keys.add(done.link()["ckn"])
                        issued = [line["key_ID"].replace("-", "") for line in lab.kme_audit() if line["event"] == "issued"]
                        self.assertEqual(source != "kme-mock", done.link()["key_id"].replace("-", "") in issued, done)
                online = lab.qkd("check", lab.pipeline_file, "--online", env=SECRET)
                self.assertEqual(online.code, 0, online)
        self.assertEqual(len(keys), len(SOURCES) * (len(TRANSPORTS) - bool(impossible)), "a new key each time")

    def test_every_transport_on_the_link_itself_with_every_key_source(self):
        if impossible := Wires.impossible():
            self.skipTest(impossible)
        with Wires(1), OnboxLab("--rollover", "pre-shared-key") as lab, contextlib.ExitStack() as stack:
            sockets = {}
            if os.access(LLDPD, os.X_OK):
                sockets = stack.enter_context(lldpd_at_both_ends(lab.pipeline["device"]))
            stack.enter_context(unittest.mock.patch.dict(os.environ, SECRET))
            original = lab.whole
            keys = set()
            for transport, line in ON_THE_LINK.items():
                for source in SOURCES:
                    with self.subTest(transport=transport, source=source):
                        if transport == "keyid-lldpd" and not sockets:
                            self.skipTest("lldpd is not installed")
                        lab.whole = swapped(original, line, [source, source])
                        for device in lab.pipeline["device"]:
                            lab.write(device)
                            own = lab.file_of(device)
                            own.write_text(own.read_text().replace('"SOCKET"', f'"{sockets.get(device)}"'))
                        done = lab.everyone([])
                        told = "\n".join(map(str, done.values()))
                        self.assertEqual({process.code for process in done.values()}, {0}, told)
                        ckn = done["mx304-11"].link["ckn"]
                        self.assertEqual(done["mx304-12"].link["ckn"], ckn, told)
                        self.assertEqual(lab.live_keys(), {("secured", ckn)}, told)
                        keys.add(ckn)
            self.assertEqual(len(keys), len(SOURCES) * (2 if sockets else 1), "a new key each time")

    def test_two_vendors_at_the_ends_of_one_link(self):
        with Lab() as lab:
            original = lab.pipeline_file.read_text()
            for pair in (["kme-etsi014", "kme-skip"], ["kme-skip", "kme-rest"], ["kme-rest", "kme-etsi014"]):
                with self.subTest(" ".join(pair)):
                    self.swap(lab, original, "keyid-scp", pair)
                    self.rotate(lab, "keyid-scp", pair)

    def test_two_links_of_different_vendors_and_transports_in_one_run(self):
        with Lab("--devices", 4, "--kmes", 4) as lab:
            self.swap(lab, lab.pipeline_file.read_text(), "keyid-scp", ["kme-etsi014", "kme-etsi014", "kme-skip", "kme-rest"])
            head, scp, last = lab.pipeline_file.read_text().rpartition(TRANSPORTS["keyid-scp"])
            self.assertTrue(scp)
            lab.pipeline_file.write_text(head + TRANSPORTS["keyid-lldp"] + last)
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            used = set()
            for link in done.report["links"]:
                assert_secured(self, lab, done, link["name"])
                for member in link["members"]:
                    used |= {stage["plugin"] for stage in member["stages"]}
            self.assertLessEqual({"keyid-scp", "keyid-lldp", "kme-etsi014", "kme-skip", "kme-rest"}, used)

    def test_a_described_api_and_lldp_reach_every_member_of_a_row(self):
        with Lab("--demo", "--source", "kme-rest", "--transport", "keyid-lldp") as lab:
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            assert_secured(self, lab, done)
            fetched = [line["caller"] for line in lab.kme_audit() if line["event"] == "fetched"
                       and line["key_ID"] == done.link()["key_id"]]
            self.assertEqual(len(fetched), 4, "each member once, the initiator too")

    def test_a_third_member_is_too_many_for_skip(self):
        with Lab("--demo", "--source", "kme-skip") as lab:
            done = lab.run()
            self.assertEqual(done.code, 1, done)
            self.assertIn("SKIP gives each key to two ends", done.err + done.out)
            self.assertEqual([line for line in lab.kme_audit() if line["event"] == "issued"], [])

    def test_lldp_keeps_the_operators_description(self):
        with Lab("--transport", "keyid-lldp") as lab:
            def descriptions():
                return {(d, e.findtext("name")): e.findtext("description") for d in lab.pipeline["device"]
                        for e in lab.state(d).iter("interface") if e.find("description") is not None}
            before = descriptions()
            done = lab.run()
            self.assertEqual(done.code, 0, done)
            after = descriptions()
            for place, text in before.items():
                self.assertTrue((after[place] or "").startswith(text), f"{place}: {after[place]}")
            self.assertTrue(any(done.link()["key_id"] in (text or "") for text in after.values()), after)

            # A rotation that fails takes the notice back.
            lab.kme_faults({"call": "dec_keys", "every": True, "action": "error", "status": 503, "message": "no keys today"})
            lab.change(r'^dec_retry_window = .*$', 'dec_retry_window = "0s"')
            failed = lab.run()
            self.assertEqual(failed.code, 1, failed)
            self.assertEqual(failed.link()["result"], "reverted", failed)
            self.assertEqual(descriptions(), after)


if __name__ == "__main__":
    unittest.main()
