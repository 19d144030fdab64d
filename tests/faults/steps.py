"""The steps of a rotation as the harness sees them: where a fault is armed, which call of the device it hits, and the words."""
from dataclasses import dataclass

# Rows of the matrix, in the order of a rotation. `undo` is what a failed commit of the responder makes the initiator do,
# `withdraw` what its failed confirm does.
STEPS = ("connect", "clock", "read", "certs", "initial-config", "mint", "announce", "receive", "fetch", "acknowledge", "lock",
         "load", "check", "commit-confirmed", "read-back", "confirm", "read-again", "release", "verify", "save", "close", "undo",
         "withdraw")


def phase(step, rollover):
    """What the promises tell apart: nothing committed yet, committed, being confirmed, confirmed, being taken back."""
    if step in ("undo", "withdraw"):
        return "undo"
    if step == "verify":
        return "after" if rollover == "key-chain" else "commit"
    at = STEPS.index(step)
    if at <= STEPS.index("check"):
        return "before"
    if at <= STEPS.index("read-back"):
        return "commit"
    return "confirm" if at <= STEPS.index("read-again") else "after"


@dataclass(frozen=True)
class Call:
    """One call of a device: the first `rpc` (of that kind of commit) after the rotation has entered `after`."""

    after: str  # "" = from the beginning
    rpc: str
    kind: str = ""
    logged: str = ""  # the name under which the log tells of it
    members: tuple = ("initiator", "responder")


CALLS = {
    "connect": Call("", "connect", logged="connect"),
    "clock": Call("", "get-system-uptime-information"),
    "read": Call("", "get-commit-information", logged="read"),
    "certs": Call("prepare", "sftp", logged="certs"),
    "initial-config": Call("prepare", "get-configuration", logged="initial-config"),
    "announce": Call("reserve", "sftp", logged="announce", members=("responder",)),
    "lock": Call("stage", "lock-configuration", logged="stage"),
    "load": Call("stage", "load-configuration", logged="stage"),
    "check": Call("stage", "commit-configuration", "check", logged="stage"),
    "commit-confirmed": Call("commit", "commit-configuration", "confirmed", logged="commit-confirmed"),
    "read-back": Call("commit", "get-configuration", logged="read-back"),
    "confirm": Call("confirm", "commit-configuration", "confirm", logged="confirm"),
    "read-again": Call("confirm", "get-configuration", logged="read-back"),
    "release": Call("confirm", "unlock-configuration", logged="release"),
    "verify": Call("verify", "get-mka-session-information", logged="verify"),
    "close": Call("persist", "close-session", logged="close"),
}


def call_of(step, rollover):
    if step == "verify" and rollover == "pre-shared-key":  # there the wait comes before the confirm
        return Call("confirm", "get-mka-session-information", logged="verify")
    return CALLS[step]
