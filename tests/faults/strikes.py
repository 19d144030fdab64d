"""What goes wrong in a case: each strike arms itself at the right moment, knows whether it struck, and clears up after itself."""
import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import threading
import time

from bench import CONFIRM
from program import begins, done, is_step
from steps import call_of

BOOT_MS = 10_000  # until MKA is live again after a boot: 2 s for each key, and device time may run fast meanwhile
MARKS = itertools.count(1)


class Strike:
    """Nothing goes wrong. The others say where they differ."""

    destroys_answer = False  # an answer that held a key may be lost
    interrupts = False
    timeouts = {}            # of the faulty run; the next run has plenty of time

    def __init__(self, pair):
        self.pair = pair

    def members(self, word):
        return {"initiator": [self.pair.initiator], "responder": [self.pair.responder], "both": list(self.pair.devices)}[word]

    def prepare(self):
        """Before the run."""

    def on_line(self, record, program):
        """A line of the log; see program.py."""

    def on_tick(self, program):
        """Now and then while the program writes nothing."""

    def struck(self):
        return True

    def other_audits(self):
        """Audit logs of other runners."""
        return []

    def booting(self):
        """[(from, to)], lab milliseconds: when a member was off."""
        return []

    def heal(self):
        """After the run: the cause is gone."""
        self.pair.disarm()


# ---------------------------------------------------------------- a device's call goes wrong

class DeviceFault(Strike):
    """The first such call of each of the named members."""

    def __init__(self, pair, step, member, action, *, phase="before", ms=0, message="scripted fault", every=False, also=None,
                 timeouts=None, kind=None):
        super().__init__(pair)
        call = call_of(step, pair.rollover)
        self.call, self.victims, self.mark = call, self.members(member), f"strike-{next(MARKS)}"
        self.fault = {"rpc": call.rpc, "nth": 1, "action": action, "phase": phase, "ms": ms, "message": message, "id": self.mark}
        if every:
            self.fault["every"] = True
        if kind or call.kind:
            self.fault["when"] = {"commit_kind": kind or call.kind}
        self.also = also or {}  # {device: fault}, armed at the same time
        self.timeouts = timeouts or {}
        self.hits = 0

    def prepare(self):
        if not self.call.after:
            self.arm()

    def on_line(self, record, program):
        if self.call.after and is_step(record, self.call.after):
            self.arm()

    def arm(self):
        for device in self.pair.devices:
            faults = [self.fault] if device in self.victims else []
            if device in self.also:
                faults.append(self.also[device])
            if faults:
                self.pair.arm(device, *faults)

    def count(self, device):
        return self.pair.strikes(device, self.mark)

    def struck(self):
        return all(self.count(device) for device in self.victims)


def undo_fault(pair, step, action, phase):
    """The responder's commit (or confirm) fails, and so does what that makes the initiator do."""
    kind = "confirmed" if step == "undo" else "confirm"
    first = {"rpc": "commit-configuration", "nth": 1, "action": "error", "message": "commit failed", "when": {"commit_kind": kind}}
    call_kind = "confirm" if step == "undo" else "plain"
    strike = DeviceFault(pair, "commit-confirmed" if step == "undo" else "confirm", "initiator", action, phase=phase,
                         also={pair.responder: first}, timeouts={"call": "1200ms"}, kind=call_kind)
    return strike


class Reboot(DeviceFault):
    """A member boots at a call: before it took effect, or after. Its links are down for that moment, by nobody's fault."""

    def __init__(self, pair, step, member, phase, timer_lost):
        super().__init__(pair, step, member, "reboot", phase=phase)
        self.timer_lost, self.armed_at, self.seen_at = timer_lost, None, None

    def prepare(self):
        for device in self.victims:
            self.pair.describe(device, timer_survives_reboot=not self.timer_lost)
        super().prepare()

    def arm(self):
        self.armed_at = self.pair.bench.clock.now()
        super().arm()

    def on_tick(self, program):
        if self.armed_at and not self.seen_at and super().struck():
            self.seen_at = self.pair.bench.clock.now()

    def booting(self):
        if not self.armed_at:
            return []
        return [(self.armed_at, (self.seen_at or self.pair.bench.clock.now()) + BOOT_MS)]

    def heal(self):
        super().heal()
        for device in self.victims:
            self.pair.describe(device, timer_survives_reboot=True)


class LateConfirm(DeviceFault):
    """The confirm reaches the member after its timer has ended."""

    def __init__(self, pair, member):
        super().__init__(pair, "confirm", member, "delay", ms=400)
        self.moved = False

    def on_tick(self, program):
        if not self.moved and super().struck():
            self.moved = True
            self.pair.bench.clock.advance(CONFIRM + 5)

    def struck(self):
        return self.moved


# ---------------------------------------------------------------- the program is ended

class KillAtLine(Strike):
    """SIGKILL when the log says that a call begins or has ended."""

    def __init__(self, pair, call, moment, member, nth=1):
        super().__init__(pair)
        self.call, self.moment, self.left = call, moment, nth
        self.waiting = set(self.members(member)) if member != "any" else None
        self.hit = False

    def on_line(self, record, program):
        match = begins(record, self.call) if self.moment == "begins" else done(record, self.call)
        if not match:
            return
        if self.waiting is not None:
            self.waiting.discard(record.get("device"))
            if self.waiting:
                return
        self.left -= 1
        if not self.left:
            self.hit = True
            self.end(program)

    def end(self, program):
        program.kill()

    def struck(self):
        return self.hit


class KillThenBoot(KillAtLine):
    """SIGKILL, and before any timer ends the responder boots and forgets its own."""

    def end(self, program):
        program.kill()
        device = self.pair.responder
        self.pair.describe(device, timer_survives_reboot=False)
        self.boot = [self.pair.bench.clock.now()]
        self.pair.bench.reboot(self.pair.device(device))
        self.boot.append(self.pair.bench.clock.now() + BOOT_MS)

    boot = None

    def booting(self):
        return [tuple(self.boot)] if self.boot else []

    def heal(self):
        super().heal()
        self.pair.describe(self.pair.responder, timer_survives_reboot=True)


class BootAtLine(KillAtLine):
    """A member boots while the program waits; the program lives."""

    boot = None

    def __init__(self, pair, call, moment, nth, victim):
        super().__init__(pair, call, moment, "any", nth)
        self.victim = self.members(victim)[0]

    def end(self, program):
        self.boot = [self.pair.bench.clock.now()]
        self.pair.bench.reboot(self.pair.device(self.victim))
        self.boot.append(self.pair.bench.clock.now() + BOOT_MS)

    def booting(self):
        return [tuple(self.boot)] if self.boot else []


class Interrupt(KillAtLine):
    """SIGINT instead."""

    interrupts = True

    def end(self, program):
        program.child.send_signal(signal.SIGINT)


class KillAtCall(DeviceFault):
    """SIGKILL with the devices held in a known state: before the call on both, or after it on one, the other being held before."""

    def __init__(self, pair, step, place):
        held = {"none": "both", "initiator": "responder", "responder": "initiator"}[place]
        super().__init__(pair, step, held, "hang")
        self.place, self.hit = place, False
        self.free = None if place == "none" else self.members(place)[0]

    def on_line(self, record, program):
        super().on_line(record, program)
        if self.free and done(record, self.call.logged, self.free):
            self.free_done = True
            self.on_tick(program)

    free_done = False

    def on_tick(self, program):
        ready = self.free_done if self.free else super().struck()
        if ready and not self.hit:
            self.hit = True
            program.kill()

    def struck(self):
        return self.hit


class KillInUndo(KillAtLine):
    """The responder's commit (or confirm) fails, and the program dies while it takes the initiator's back."""

    def __init__(self, pair, step, moment):
        super().__init__(pair, "revert" if step == "undo" else "withdraw", moment, "initiator")
        self.after, self.kind = ("commit", "confirmed") if step == "undo" else ("confirm", "confirm")

    def on_line(self, record, program):
        if is_step(record, self.after):
            self.pair.arm(self.pair.responder, {"rpc": "commit-configuration", "nth": 1, "action": "error", "message": "commit failed",
                                                "when": {"commit_kind": self.kind}, "id": f"strike-{next(MARKS)}"})
        super().on_line(record, program)


class KillDuringKmeCall(Strike):
    """SIGKILL while the KME's answer is on its way: the KME has delivered, nobody has received."""

    destroys_answer = True

    def __init__(self, pair, step):
        super().__init__(pair)
        self.call = {"mint": "enc_keys", "fetch": "dec_keys"}[step]
        self.sae = pair.initiator if step == "mint" else pair.responder
        self.hit = False

    def prepare(self):
        self.offset = len(self.pair.bench.kme_audit())
        self.pair.bench.kme_faults({"sae": self.sae, "call": self.call, "nth": 1, "action": "consume-then-hang",
                                    "id": f"strike-{next(MARKS)}"})

    def on_tick(self, program):
        event = "issued" if self.call == "enc_keys" else "fetched"
        if not self.hit and any(e["event"] == event and e["caller"] == self.sae
                                for e in self.pair.bench.kme_audit()[self.offset:]):
            self.hit = True
            program.kill()

    def struck(self):
        return self.hit

    def heal(self):
        self.pair.bench.kme_faults()


# ---------------------------------------------------------------- key management

class KmeFault(Strike):
    """A KME answers wrongly, late or not at all; once, or as long as the run lasts."""

    def __init__(self, pair, step, action, *, once=False, destroys=False, timeouts=None, **more):
        super().__init__(pair)
        self.mark = f"strike-{next(MARKS)}"
        self.fault = {"sae": pair.initiator if step == "mint" else pair.responder,
                      "call": {"mint": "enc_keys", "fetch": "dec_keys"}[step], "action": action, "id": self.mark, **more}
        self.fault |= {"nth": 1} if once else {"every": True}
        self.destroys_answer = destroys
        self.timeouts = timeouts or {}

    def prepare(self):
        self.pair.bench.kme_faults(self.fault)

    def struck(self):
        return self.mark in self.pair.bench.kme_strikes()

    def heal(self):
        self.pair.bench.kme_faults()


# ---------------------------------------------------------------- the notice on its way

class NoticeFault(Strike):
    """Somebody is at the notice between announce and receive."""

    timeouts = {"call": "1200ms"}

    def __init__(self, pair, how):
        super().__init__(pair)
        self.how, self.hit = how, False

    def on_line(self, record, program):
        if not done(record, "announce"):
            return
        folder = self.pair.device(self.pair.responder) / "fs" / "var" / "tmp" / "qkd-macsec"
        for path in folder.glob("*.notice"):
            # QKD2;KIND;LINK;GENERATION;SEQUENCE;SENDER;ROUND;ISSUED;START;EXPIRES;KEY_IDS;TAG
            notice = path.read_text().split(";")
            path.unlink()
            self.hit = True
            if self.how == "missing":
                continue
            if self.how == "old":
                notice[3:5] = [str(int(number) - 1000) for number in notice[3:5]]
            else:
                notice[10] = "00000000-dead-4bad-8bad-000000000000"
            path.write_text(";".join(notice))

    def struck(self):
        return self.hit


# ---------------------------------------------------------------- somebody else on the device

class Operator:
    """A NETCONF session of somebody else, through a pipe to the device itself."""

    END = b"]]>]]>"

    def __init__(self, pair, device):
        self.child = subprocess.Popen([pair.bench.bin / "junos-sim", "--state", pair.device(device)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                      env={"LOGNAME": "admin", "PATH": os.environ["PATH"]})
        self.read()
        self.child.stdin.write(b"<hello><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>"
                               + self.END)

    def read(self, seconds=10):
        text, until = b"", time.monotonic() + seconds
        while self.END not in text:
            if not select.select([self.child.stdout], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError("the simulated device does not answer")
            more = os.read(self.child.stdout.fileno(), 65536)
            if not more:
                raise EOFError("the simulated device closed the session")
            text += more
        return text

    def ask(self, rpc):
        self.child.stdin.write(b"<rpc message-id='1'>" + rpc.encode() + b"</rpc>" + self.END)
        self.child.stdin.flush()
        answer = self.read()
        if b"<error-severity>error" in answer:
            raise RuntimeError(answer.decode())
        return answer

    def leave(self):
        with contextlib.suppress(OSError):
            self.child.stdin.close()
        self.child.wait(timeout=20)
        self.child.stdout.close()


class LockHeld(Strike):
    """Somebody else holds a member's configuration; `seconds` after the stage began they let go, if at all."""

    def __init__(self, pair, member, seconds=None):
        super().__init__(pair)
        self.victim, self.seconds, self.operator, self.until, self.met = self.members(member)[0], seconds, None, None, False
        self.timeouts = {"call": "1200ms"} if seconds is None else {"call": "5s"}

    def prepare(self):
        self.operator = Operator(self.pair, self.victim)
        self.operator.ask("<lock-configuration/>")

    def on_line(self, record, program):
        if begins(record, "stage", self.victim):
            self.met = True
            self.until = time.monotonic() + self.seconds if self.seconds is not None else None

    def on_tick(self, program):
        if self.until and time.monotonic() >= self.until:
            self.until = None
            self.leave()

    def struck(self):
        return self.met

    def leave(self):
        if self.operator:
            self.operator.leave()
            self.operator = None

    def heal(self):
        self.leave()


class SecondRunner(Strike):
    """Another runner with a state of its own rotates the same link, from a step of the first one on."""

    timeouts = {"call": "3s"}

    def __init__(self, pair, call):
        super().__init__(pair)
        self.call, self.rival, self.thread, self.failure = call, None, None, None

    def on_line(self, record, program):
        if self.thread is None and begins(record, self.call):
            self.folder = program.folder / "rival"
            self.folder.mkdir()
            self.thread = threading.Thread(target=self.run)
            self.thread.start()

    def run(self):
        try:
            self.rival = self.pair.run("rival", self.folder, state=self.folder / "state", call="3s")
        except Exception as error:  # told by the thread that waits for this one
            self.failure = error

    def struck(self):
        if self.thread is None:
            return False
        self.thread.join()
        if self.failure:
            raise self.failure
        return self.rival.code in (0, 1)

    def other_audits(self):
        return [self.folder / "state" / "audit.jsonl"] if self.thread else []

    def heal(self):
        if self.thread:
            self.thread.join()


class ForeignChange(Strike):
    """Somebody else's work stands on a member: unconfirmed (`pending`) or uncommitted (`dirty`)."""

    timeouts = {"call": "1200ms"}
    LOAD = ("<load-configuration action='merge' format='xml'><configuration><interfaces><interface><name>et-0/0/5</name>"
            "<description>{}</description></interface></interfaces></configuration></load-configuration>")

    def __init__(self, pair, member, how):
        super().__init__(pair)
        self.victim, self.how, self.met = self.members(member)[0], how, False

    def prepare(self):
        operator = Operator(self.pair, self.victim)
        operator.ask(self.LOAD.format("maintenance " + self.how))
        if self.how == "pending":
            operator.ask("<commit-configuration><confirmed/><confirm-timeout>10</confirm-timeout><log>by admin</log>"
                         "</commit-configuration>")
        operator.leave()

    def on_line(self, record, program):
        self.met = self.met or is_step(record, "stage")

    def struck(self):
        return self.met

    def heal(self):
        operator = Operator(self.pair, self.victim)
        if self.how == "pending":
            operator.ask("<commit-configuration/>")
        else:
            operator.ask("<discard-changes/>")
        operator.leave()


# ---------------------------------------------------------------- clocks, disks

class Skew(Strike):
    """A member's clock is beyond max_clock_skew, from the entry of a step on."""

    def __init__(self, pair, step, member, seconds):
        super().__init__(pair)
        self.step, self.victim, self.seconds, self.hit = step, self.members(member)[0], seconds, False

    def prepare(self):
        if self.step == "connect":
            self.strike()

    def on_line(self, record, program):
        if is_step(record, self.step):
            self.strike()

    def strike(self):
        self.hit = True
        self.pair.describe(self.victim, skew_ms=round(self.seconds * 1000))

    def struck(self):
        return self.hit

    def heal(self):
        self.pair.describe(self.victim, skew_ms=0)


class DiskFull(Strike):
    """The state directory has no room left, from the entry of a step on: a small disk of its own is filled up, or, to the last
    octet, each write is refused (see hold.c)."""

    def __init__(self, pair, step, last_octet):
        super().__init__(pair)
        self.step, self.hit = step, False
        self.refuse = last_octet or not pair.own_disk
        self.filler = pair.state.with_name("state.full") if self.refuse else pair.state / "somebody-elses-file"

    def prepare(self):
        if self.step == "connect":
            self.fill()

    def on_line(self, record, program):
        if is_step(record, self.step):
            self.fill()

    def fill(self):
        self.hit = True
        if self.refuse:
            self.filler.touch()
            return
        with open(self.filler, "wb") as file:
            for size in (4096, 64, 1):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(file.fileno(), b"x" * size)

    def struck(self):
        return self.hit

    def heal(self):
        self.filler.unlink(missing_ok=True)
