"""Every case of the matrix: what goes wrong at which step, on which member, in which variant. Names are stable."""
from dataclasses import dataclass
from typing import Callable

import strikes
from steps import CALLS, STEPS, call_of, phase

ROLLOVERS = {"key-chain": "kc", "pre-shared-key": "psk"}


# Faults that the promises know under another word: the same to the link, though not to the program.
PROMISED_AS = {"hang-after": "lost-answer", "interrupt": "error", "kme-late": "kme-slow", "kme-pool-empty": "kme-503",
               "kme-short-key": "kme-wrong-key", "kme-wrong-id": "kme-wrong-key", "kme-duplicate": "kme-wrong-key",
               "foreign-pending": "lock-held", "foreign-dirty": "lock-held",
               "second-runner": "lock-held"}


@dataclass(frozen=True)
class Case:
    rollover: str
    step: str   # row of the matrix
    fault: str  # column of the matrix, and the word of the promises
    place: str  # member, or which moment within the step
    make: Callable
    preceding: bool = True       # devices keep the replaced key until the new one is live
    at_once: bool = False        # the next run begins at once, not after all timers
    timer_lost: bool = False     # a reboot forgets the confirmed commit's timer
    lingering: bool = False      # sessions outlive their client and keep the lock
    bare: bool = False           # the link has no configuration yet
    quick: bool = False
    slow: bool = False           # begun first, so that nobody waits for it at the end

    @property
    def name(self):
        parts = [ROLLOVERS[self.rollover], self.step, self.fault, self.place]
        parts += ["no-preceding"] * (not self.preceding) + ["timer-lost"] * self.timer_lost + ["lingering"] * self.lingering
        parts += ["at-once"] * self.at_once + ["bare"] * self.bare
        return ".".join(part for part in parts if part)

    @property
    def word(self):
        """The first column of the promises."""
        return PROMISED_AS.get(self.fault, self.fault)

    @property
    def phase(self):
        if self.place.endswith("-then-boot"):  # a member that forgets its timer keeps the commit, as if it was confirmed
            return "confirm"
        if self.fault == "kill" and self.step in ("undo", "withdraw"):  # no more is done than when it died right there
            return {"undo": "commit", "withdraw": "confirm"}[self.step]
        return phase(self.step, self.rollover)


# What a device's answer can suffer: word -> (action, phase, more). With a hang the stage runs into its timeout.
ANSWERS = {
    "drop": ("drop", "before", {}),
    "lost-answer": ("drop", "after", {}),
    "delay": ("delay", "before", {"ms": 250}),
    "hang": ("hang", "before", {"timeouts": {"call": "1200ms", "connect": "1200ms"}}),
    "hang-after": ("hang", "after", {"timeouts": {"call": "1200ms", "connect": "1200ms"}}),
    "garbage": ("garbage", "before", {}),
    "error": ("error", "before", {}),
}
# Where an answer comes after the call took effect, and that makes a difference.
CHANGING = ("lock", "load", "check", "commit-confirmed", "confirm", "release")

KME = {
    # word: (steps, action, more)
    "kme-400": (("mint", "fetch"), "error", {"status": 400, "message": "bad request"}),
    "kme-401": (("mint", "fetch"), "error", {"status": 401}),
    "kme-503": (("mint", "fetch"), "error", {"status": 503, "message": "quantum channel is dark"}),
    "kme-late": (("mint", "fetch"), "delay", {"ms": 300}),
    "kme-slow": (("mint", "fetch"), "delay", {"ms": 2500, "destroys": True, "once": True, "timeouts": {"call": "800ms", "window": "2s"}}),
    "kme-hang": (("mint", "fetch"), "hang", {"timeouts": {"call": "600ms", "window": "1s"}}),
    "kme-empty": (("mint", "fetch"), "empty", {}),
    "kme-pool-empty": (("mint",), "error", {"status": 503, "message": "key pool is empty"}),
    "kme-key-gone": (("fetch",), "error", {"status": 400, "message": "key not found", "timeouts": {"window": "1s"}}),
    "kme-lost-answer": (("mint", "fetch"), "consume-then-drop", {"once": True, "destroys": True, "timeouts": {"window": "1s"}}),
    "kme-drop": (("mint", "fetch"), "drop", {"once": True}),
    "kme-garbage": (("mint", "fetch"), "garbage", {"once": True}),
    "kme-short-key": (("mint", "fetch"), "short-key", {"once": True, "destroys": True}),
    "kme-wrong-id": (("mint", "fetch"), "wrong-id", {"once": True, "destroys": True}),
    "kme-duplicate": (("mint", "fetch"), "duplicate", {"once": True, "destroys": True}),
}

# Calls that only the log tells of: where the program can be ended before and after them. save: the intent, then the result.
LINES = (("load-record", "load", 1), ("connect", "connect", 1), ("read", "read", 1), ("certs", "certs", 1),
         ("initial-config", "initial-config", 1), ("mint", "mint", 1), ("announce", "announce", 1), ("receive", "receive", 1),
         ("fetch", "fetch", 1), ("acknowledge", "acknowledge", 1), ("lock", "stage", 1),
         ("commit-confirmed", "commit-confirmed", 1), ("read-back", "read-back", 1), ("confirm", "confirm", 1),
         ("release", "release", 1), ("verify", "verify", 1), ("save", "save", 2), ("close", "close", 1))
BOTH = ("connect", "read", "certs", "initial-config", "lock", "commit-confirmed", "read-back", "confirm", "release", "verify",
        "close")

QUICK = {
    ("mint", "kill", "answered"), ("fetch", "kill", "answered"), ("fetch", "kill", "done"), ("lock", "kill", "none"),
    ("commit-confirmed", "kill", "none"), ("commit-confirmed", "kill", "initiator"), ("commit-confirmed", "kill", "responder"),
    ("commit-confirmed", "kill", "both"), ("confirm", "kill", "initiator"), ("confirm", "kill", "both"),
    ("verify", "kill", "begins"), ("save", "kill", "begins"),
    ("commit-confirmed", "drop", "initiator"), ("commit-confirmed", "lost-answer", "responder"),
    ("confirm", "lost-answer", "initiator"), ("commit-confirmed", "error", "responder"), ("check", "error", "initiator"),
    ("read-back", "garbage", "responder"), ("lock", "lock-released", "initiator"), ("mint", "kme-503", ""),
    ("fetch", "kme-key-gone", ""), ("fetch", "kme-lost-answer", ""), ("receive", "transport-forged", ""),
    ("clock", "clock-skew", "responder"), ("lock", "disk-full", "last-octet"), ("confirm", "confirm-expired", "responder"),
    ("commit-confirmed", "reboot", "responder"),
}


def all_cases():
    """Every case, in a stable order; names are unique."""
    found = {}
    for rollover in ROLLOVERS:
        for case in of_rollover(rollover):
            if case.name in found:
                raise AssertionError(f"two cases are called {case.name}")
            found[case.name] = case
    return list(found.values())


def of_rollover(rollover):
    def case(step, fault, place, make, **more):
        quick = (step, fault, place) in QUICK and not more.keys() - {"slow"}
        return Case(rollover, step, fault, place, make, quick=quick, **more)

    yield from kills(rollover, case)
    yield from device_faults(rollover, case)
    yield from kme_faults(case)
    yield from others(rollover, case)
    yield from reboots(case)
    yield from first_configurations(case)


def kills(rollover, case):
    for step, call, nth in LINES:
        row = "clock" if step == "load-record" else step
        moment = "record" if step == "load-record" else ""
        yield case(row, "kill", moment + "begins" if moment else "begins", line(call, "begins", "any", nth))
        if step in BOTH:
            if step in ("commit-confirmed", "confirm", "lock"):
                continue
            for member in ("initiator", "responder", "both"):
                yield case(row, "kill", member, line(call, "done", member))
        else:
            yield case(row, "kill", moment + "done", line(call, "done", "any", nth))
    # The devices held in a known state.
    for step in ("lock", "load", "check", "commit-confirmed", "confirm"):
        for place in ("none", "initiator", "responder"):
            make = held(step, place)
            yield case(step, "kill", place, make)
            yield case(step, "kill", place, make, at_once=True)
            yield case(step, "kill", place, make, lingering=True)
            yield case(step, "kill", place, make, lingering=True, at_once=True)
            if step in ("commit-confirmed", "confirm"):
                yield case(step, "kill", place, make, preceding=False)
                yield case(step, "kill", place, make, preceding=False, at_once=True)
    for step, call in (("lock", "stage"), ("commit-confirmed", "commit-confirmed"), ("confirm", "confirm")):
        for more in ({}, {"at_once": True}, {"preceding": False}, {"lingering": True}, {"lingering": True, "at_once": True}):
            yield case(step, "kill", "both", line(call, "done", "both"), **more)
    for step in ("read-back", "release", "verify", "save"):
        call, nth = next((call, nth) for row, call, nth in LINES if row == step)
        yield case(step, "kill", "begins", line(call, "begins", "any", nth), at_once=True)
        yield case(step, "kill", "begins", line(call, "begins", "any", nth), preceding=False)
    for step in ("undo", "withdraw") if rollover == "key-chain" else ("undo",):
        for moment in ("begins", "done"):
            for more in ({}, {"at_once": True}, {"preceding": False}):
                yield case(step, "kill", moment, lambda pair, step=step, moment=moment: strikes.KillInUndo(pair, step, moment), **more)
    for step in ("mint", "fetch"):
        for more in ({}, {"at_once": True}):
            yield case(step, "kill", "answered", lambda pair, step=step: strikes.KillDuringKmeCall(pair, step), **more)
    for step in ("mint", "fetch", "acknowledge"):
        yield case(step, "kill", "done", line(step, "done", "any"), at_once=True)
    for step in ("connect", "mint", "fetch", "lock", "commit-confirmed", "confirm", "verify", "save"):
        call, nth = next((call, nth) for row, call, nth in LINES if row == step)
        yield case(step, "interrupt", "", lambda pair, call=call, nth=nth: strikes.Interrupt(pair, call, "begins", "any", nth))


def line(call, moment, member, nth=1):
    return lambda pair: strikes.KillAtLine(pair, call, moment, member, nth)


def held(step, place):
    return lambda pair: strikes.KillAtCall(pair, step, place)


def device_faults(rollover, case):
    for step in CALLS:
        for word, (action, when, more) in ANSWERS.items():
            if when == "after" and step not in CHANGING:
                continue
            if step == "connect" and word in ("garbage", "error"):
                pass
            for member in call_of(step, rollover).members:
                make = (lambda pair, step=step, member=member, action=action, when=when, more=more:
                        strikes.DeviceFault(pair, step, member, action, phase=when, **more))
                yield case(step, word, member, make, **({"slow": True} if "hang" in word else {}))
                if step in ("commit-confirmed", "confirm") and word in ("drop", "lost-answer", "error"):
                    yield case(step, word, member, make, preceding=False)
    for step in ("undo", "withdraw") if rollover == "key-chain" else ("undo",):
        for word in ("drop", "lost-answer", "error", "hang"):
            action, when, _ = ANSWERS[word]
            yield case(step, word, "initiator", lambda pair, step=step, action=action, when=when:
                       strikes.undo_fault(pair, step, action, when), **({"slow": True} if word == "hang" else {}))
    for member in ("initiator", "responder", "both"):
        for more in ({}, {"preceding": False}):
            yield case("confirm", "confirm-expired", member, lambda pair, member=member: strikes.LateConfirm(pair, member), **more)


def kme_faults(case):
    for word, (steps, action, more) in KME.items():
        for step in steps:
            yield case(step, word, "", lambda pair, step=step, action=action, more=more:
                       strikes.KmeFault(pair, step, action, **more), **({"slow": True} if word in ("kme-hang", "kme-slow") else {}))


def others(rollover, case):
    for how in ("missing", "old", "forged"):
        yield case("receive", f"transport-{how}", "", lambda pair, how=how: strikes.NoticeFault(pair, how))
    for member in ("initiator", "responder"):
        yield case("lock", "lock-held", member, lambda pair, member=member: strikes.LockHeld(pair, member), slow=True)
        yield case("lock", "lock-released", member, lambda pair, member=member: strikes.LockHeld(pair, member, 0.3))
        for how in ("pending", "dirty"):
            yield case("lock", f"foreign-{how}", member, lambda pair, member=member, how=how:
                       strikes.ForeignChange(pair, member, how), slow=True)
        for row, step in (("clock", "connect"), ("lock", "stage"), ("commit-confirmed", "commit"), ("confirm", "confirm"),
                          ("verify", "verify")):
            if row == "verify" and rollover == "pre-shared-key":
                continue
            yield case(row, "clock-skew", member, lambda pair, member=member, step=step: strikes.Skew(pair, step, member, 20))
    for step, call in (("connect", "connect"), ("mint", "mint"), ("lock", "stage"), ("commit-confirmed", "commit-confirmed"),
                       ("confirm", "confirm"), ("verify", "verify")):
        yield case(step, "second-runner", "", lambda pair, call=call: strikes.SecondRunner(pair, call), slow=True)
    for row, step in (("connect", "connect"), ("mint", "reserve"), ("lock", "stage"), ("commit-confirmed", "commit"),
                      ("confirm", "confirm"), ("verify", "verify"), ("save", "persist")):
        for place in ("", "last-octet"):
            yield case(row, "disk-full", place, lambda pair, step=step, place=place: strikes.DiskFull(pair, step, bool(place)))


def matrix_rows(cases):
    return [step for step in STEPS if any(case.step == step for case in cases)]


def reboots(case):
    for step in ("read", "lock", "check", "commit-confirmed", "read-back", "confirm", "read-again", "verify"):
        for member in ("initiator", "responder"):
            for when in ("before", "after") if step in CHANGING else ("before",):
                word = "" if when == "before" else "-done"
                yield case(step, "reboot", member + word, booted(step, member, when, False))
                if step in ("commit-confirmed", "read-back", "confirm", "read-again"):
                    yield case(step, "reboot", member + word, booted(step, member, when, True), timer_lost=True)
                    yield case(step, "reboot", member + word, booted(step, member, when, True), timer_lost=True, preceding=False)
                    yield case(step, "reboot", member + word, booted(step, member, when, False), preceding=False)
    for member in ("initiator", "responder"):
        for step, call, nth in (("verify", "verify", 1), ("save", "save", 2)):
            yield case(step, "reboot", f"{member}-waiting", lambda pair, call=call, nth=nth, member=member:
                       strikes.BootAtLine(pair, call, "begins", nth, member))
    for step, member in (("commit-confirmed", "both"), ("confirm", "initiator"), ("confirm", "responder")):
        for more in ({}, {"preceding": False}, {"at_once": True}):
            yield case(step, "kill", f"{member}-then-boot", lambda pair, step=step, member=member:
                       strikes.KillThenBoot(pair, step, "done", member), timer_lost=True, **more)


def booted(step, member, when, timer_lost):
    return lambda pair: strikes.Reboot(pair, step, member, when, timer_lost)


def first_configurations(case):
    for step in ("lock", "commit-confirmed", "confirm"):
        for place in ("none", "initiator", "responder"):
            for at_once in (False, True):
                yield case(step, "kill", place, held(step, place), bare=True, at_once=at_once)
        for word in ("drop", "lost-answer", "hang", "error"):
            action, when, more = ANSWERS[word]
            for member in ("initiator", "responder"):
                yield case(step, word, member, lambda pair, step=step, member=member, action=action, when=when, more=more:
                           strikes.DeviceFault(pair, step, member, action, phase=when, **more), bare=True)
    yield case("commit-confirmed", "kill", "both", line("commit-confirmed", "done", "both"), bare=True)
    yield case("confirm", "kill", "both", line("confirm", "done", "both"), bare=True)
    yield case("verify", "kill", "begins", line("verify", "begins", "any"), bare=True)
    for member in ("initiator", "responder", "both"):
        yield case("confirm", "confirm-expired", member, lambda pair, member=member: strikes.LateConfirm(pair, member), bare=True)
