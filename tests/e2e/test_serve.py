"""serve: many rotations over sessions that stay open, SIGHUP, SIGTERM, and what systemd is told."""
import os
import signal
import socket
import subprocess
import threading
import unittest

from qkd_lab import DEADLINE, SPEED, Lab


class Serve(unittest.TestCase):
    def start(self, lab, *words, env=None):
        child = subprocess.Popen(lab.command("serve", lab.pipeline_file, *words), cwd=lab.folder, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.stdout.close)
        timer = threading.Timer(DEADLINE, child.kill)
        timer.start()
        self.addCleanup(timer.cancel)
        return child

    def test_twenty_rotations_over_open_sessions(self):
        with Lab("--rollover", "pre-shared-key", "--transport", "keyid-memory", "--speed", SPEED) as lab:
            child = self.start(lab, "--every", "100ms", "--cycles", "20")
            out, err = child.communicate(timeout=DEADLINE)
            self.assertEqual(child.returncode, 0, err)
            self.assertEqual(out.count("success: 1 link, 1 rotated"), 20, out + err)
            for device in lab.pipeline["device"]:
                log = "".join(path.read_text(errors="replace") for path in (lab.folder / "ssh").rglob("*") if path.is_file()
                              and device in str(path) and path.suffix == ".log")
                self.assertEqual(log.count("Accepted publickey"), 1, f"{device}\n{log}")

    def test_reads_its_file_again_and_ends_in_good_order(self):
        with Lab("--rollover", "pre-shared-key") as lab:
            address = str(lab.folder / "notify")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.bind(address)
                notify.settimeout(DEADLINE)
                child = self.start(lab, "--every", "1h", "-v", env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})

                told = []

                def hear(text):
                    while True:
                        told.append(notify.recv(4096).decode())
                        if text in told[-1]:
                            return told[-1]

                hear("READY=1")
                hear("next in")
                hear("WATCHDOG=1")
                good = lab.pipeline_file.read_text()
                lab.pipeline_file.write_text(good.replace("schema = 1", "schema = 99"))
                os.kill(child.pid, signal.SIGHUP)
                hear("READY=1")
                lab.pipeline_file.write_text(good.replace('rollover = "pre-shared-key"', 'rollover = "key-chain"'))
                os.kill(child.pid, signal.SIGHUP)
                hear("RELOADING=1")
                hear("next in")
                os.kill(child.pid, signal.SIGTERM)
                hear("STOPPING=1")
                _, err = child.communicate(timeout=DEADLINE)
                self.assertEqual(child.returncode, 0, err)
                self.assertIn("is not taken over", err)
                self.assertIn("was read again", err)

    def test_refuses_times_that_make_no_sense(self):
        with Lab() as lab:
            for words in (("--every", "soon"), ("--every", "1m", "--jitter", "2m"), ("--cycles", "0")):
                done = lab.qkd("serve", lab.pipeline_file, *words)
                self.assertEqual(done.code, 2, done)


if __name__ == "__main__":
    unittest.main()
