"""One run of the program, followed line by line: each line of its trace waits until the harness has seen it (see hold.c)."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import time

TICK = 0.004          # seconds between looks at what cannot be waited for
LINE_LIMIT = 1 << 18


def build_hold(folder):
    """Compiles hold.c; gives the library."""
    library = folder / "hold.so"
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hold.c")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall", "-o", library, source, "-lpthread"], check=True)
    return library


class Program:
    """`on_line(record)` is called while the thread that wrote the line is held at it; `on_tick()` every few milliseconds."""

    def __init__(self, command, folder, name, hold, *, state, deadline=60.0):
        self.folder, self.name = folder, name
        self.report_file = folder / f"{name}.report.json"
        self.deadline = time.monotonic() + deadline
        self.killed = False
        self.code = None
        self.records = []
        self.line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.settimeout(TICK)
        environment = {**os.environ, "LD_PRELOAD": str(hold), "QKD_FAULTS_FD": str(far.fileno()),
                       "QKD_FAULTS_STATE": str(state), "QKD_FAULTS_FULL": f"{state}.full"}
        # Where the preloaded library comes before a sanitizer's own, that sanitizer would refuse to start.
        environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        with open(folder / f"{name}.out", "wb") as out, open(folder / f"{name}.err", "wb") as err:
            self.child = subprocess.Popen([*map(str, command), "--trace", "--log-format", "json", "--report", str(self.report_file)],
                                          cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment,
                                          pass_fds=[far.fileno()])
        far.close()

    def kill(self):
        """SIGKILL: nothing of the program runs any more when this returns."""
        self.killed = True
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def follow(self, on_line=lambda record: None, on_tick=lambda: None):
        """To the end of the program. Gives its exit code, -9 after a kill; TimeoutError when it does not end."""
        with self.line:
            while True:
                try:
                    packet = self.line.recv(LINE_LIMIT)
                except TimeoutError:
                    if time.monotonic() >= self.deadline:
                        self.kill()
                        raise TimeoutError(f"{self.name}: the program did not end in time") from None
                    if not self.killed:
                        on_tick()
                    continue
                except ConnectionResetError:
                    break
                if not packet:
                    break
                self._take(packet, on_line)
                with contextlib.suppress(OSError):  # killed meanwhile
                    self.line.send(b".")
        self.code = self.child.wait(timeout=max(1.0, self.deadline - time.monotonic()))
        trace = self.folder / "trace.log"
        if trace.exists():
            trace.rename(self.folder / f"{self.name}.trace")
        return self.code

    def _take(self, line, on_line):
        record = json.loads(line)
        record["seen"] = time.monotonic()
        self.records.append(record)
        if not self.killed:
            on_line(record)

    @property
    def report(self):
        """None when there is none, or it was cut short."""
        try:
            return json.loads(self.report_file.read_text())
        except (OSError, ValueError):
            return None


def is_step(record, step):
    """The line with which a rotation enters a step."""
    return record.get("message") == f"step {step}"


def begins(record, call, device=None):
    return (record.get("stage") == call and record.get("message") == "begins"
            and device in (None, record.get("device")))


def ended(record, call, device=None):
    """Done or failed."""
    message = record.get("message", "")
    return (record.get("stage") == call and device in (None, record.get("device"))
            and (message.startswith("done in ") or ", after " in message))


def done(record, call, device=None):
    return ended(record, call, device) and record["message"].startswith("done in ")
