"""The clock of a lab as the harness drives it: slow while the program works, fast only while it waits for device time."""
import fcntl
import json
import os
import time


class LabClock:
    """Device time of one lab. Nobody else changes its speed; every change is atomic for all devices."""

    def __init__(self, folder):
        self.file = folder / "lab.json"
        self.lock = folder / "lab.lock"
        self.speed = json.loads(self.file.read_text())["speed"]

    @staticmethod
    def _wall():
        return time.time_ns() // 1_000_000

    def _change(self, edit):
        with open(self.lock, "a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lab = json.loads(self.file.read_text())
            wall = self._wall()
            now = lab["epoch_lab_ms"] + lab["advanced_ms"] + round((wall - lab["epoch_wall_ms"]) * lab["speed"])
            if edit is None:
                return now
            lab.update(epoch_wall_ms=wall, epoch_lab_ms=now, advanced_ms=0)
            edit(lab)
            temporary = self.file.with_name(f".lab.json.{os.getpid()}")
            temporary.write_text(json.dumps(lab))
            os.replace(temporary, self.file)
            self.speed = lab["speed"]
            return lab["epoch_lab_ms"]

    def now(self):
        """Milliseconds of lab time since 1970."""
        return self._change(None)

    def advance(self, seconds):
        """All device clocks and timers go forward at once; gives the new lab time."""
        return self._change(lambda lab: lab.update(epoch_lab_ms=lab["epoch_lab_ms"] + round(seconds * 1000)))

    def run_at(self, speed):
        if speed != self.speed:
            self._change(lambda lab: lab.update(speed=speed))
