"""Judges a case by what the simulators themselves have written down. Knows nothing of how the evidence was gathered."""
import base64
import re
from dataclasses import dataclass, field

KINDS = ("apart", "burnt", "down", "leaks", "wrong_exit")
LIVE = ("secured", "preceding", "fallback")
GOOD_RESULTS = ("rotated", "unchanged", "pending")
# A normal change of key: MKA needs 2 s for a new one; with pre-shared-key the members' commits are milliseconds apart.
CHANGE_MS = 10_000
REVERSIBLE = re.compile(rb"\$9\$[./A-Za-z0-9-]{8}")
# Lines of the audit log that tell of a key without telling what became of it.
NO_END = ("minted", "resumed", "kept", "pending", "unresolved", "maybe_consumed")
LOST = ("lost", "maybe_consumed", "consumed", "unknown")


@dataclass
class Evidence:
    """What one case left behind. Times are lab milliseconds."""

    link: str
    rollover: str
    promise: str
    devices: tuple
    was_secured: bool                 # the link ran on `ckn_before` when the case began; else it was bare
    ckn_before: str = ""
    killed: bool = False              # the faulty run was ended by SIGKILL
    interrupted: bool = False         # it was asked to stop by SIGINT
    answer_destroyed: bool = False    # the fault itself took an answer that held a key
    code: int = 0
    report: dict = None
    mka_after: dict = field(default_factory=dict)    # {device: (state, ckn)} when the faulty run had ended
    keys_after: dict = field(default_factory=dict)   # {device: CKNs in its configuration} at that time
    pending_after: dict = field(default_factory=dict)  # {device: comment of its unconfirmed commit}
    rival: bool = False               # another runner rotated the link meanwhile
    held_key: str = ""                # key_ID that was in the killed run's journal and on no device yet
    expired: bool = False             # all timers had run out before the next run began
    next_code: int = 0
    next_report: dict = None
    mka_end: dict = field(default_factory=dict)
    wire: list = field(default_factory=list)         # transitions of the case, oldest first
    next_began: int = 0
    ended: int = 0
    kme: list = field(default_factory=list)          # issued, fetched, refused: of this link's SAEs, since the case began
    audit: list = field(default_factory=list)        # lines that the program added to its audit log
    ckn_of: dict = field(default_factory=dict)       # {key_ID: CKN}
    texts: dict = field(default_factory=dict)        # {name: bytes}: everything that was written
    secrets: set = field(default_factory=set)        # hexadecimal
    booting: list = field(default_factory=list)      # [(from, to)] while a member was off


def judge(case):
    """[(kind, what)], empty when all is well."""
    findings = []
    for look in (apart, down, not_fresh, burnt, leaks, wrong_exit):
        findings += look(case)
    return findings


def apart(case):
    return [("apart", f"at {entry['at']}: {ends_of(entry)}") for entry in case.wire if entry["apart"]][:1]


def ends_of(entry):
    return ", ".join(f"{end['device']} {end['state']} ({end['role']})" for end in entry["ends"])


def down(case):
    """Not live after it was secured; or worse than promised."""
    if not case.was_secured:  # a first configuration may be taken back: traffic goes on in clear, as before
        return []
    for entry in case.wire:
        off = any(begin <= entry["at"] <= end for begin, end in case.booting)
        if entry["state"] not in LIVE and not off:
            return [("down", f"{entry['state']} at {entry['at']}: {ends_of(entry)}")]
    state, since, worst = "secured", None, 0
    before_next = "secured"
    for entry in [*case.wire, {"at": case.ended, "state": "secured"}]:
        if entry["at"] <= case.next_began:
            before_next = entry["state"]
        if entry["state"] != "secured" and state == "secured":
            since = entry["at"]
        elif entry["state"] == "secured" and since is not None:
            worst, since = max(worst, entry["at"] - since), None
        state = entry["state"]
    if case.promise == "hitless" and worst > CHANGE_MS:
        return [("down", f"hitless was promised, but the link ran on its preceding or fallback key for {worst / 1000:.0f} s")]
    if case.promise in ("hitless", "reverts") and case.expired and before_next != "secured":
        return [("down", f"{case.promise} was promised, but the link was still on its {before_next} key when all timers had ended")]
    return []


def not_fresh(case):
    """After the next run both ends must be secured on one key that is neither old nor another than reported."""
    ckns = set()
    for device in case.devices:
        state, ckn = case.mka_end.get(device, ("nothing", ""))
        ckns.add(ckn)
        if state != "secured":
            return [("down", f"after the next run {device} is {state}")]
    if len(ckns) != 1:
        return [("down", f"after the next run the ends run on different keys: {sorted(ckns)}")]
    if ckns == {case.ckn_before}:
        return [("down", "after the next run the link still runs on its old key")]
    reported = links(case.next_report)
    if not reported or reported[0].get("ckn") not in ckns:
        return [("wrong_exit", f"the next run reports CKN {reported[0].get('ckn') if reported else None}, the link runs on {ckns.pop()}")]
    return []


def burnt(case):
    """Every key that was delivered is in force at some time or accounted for; none is asked for again."""
    findings = []
    delivered = {}
    for event in case.kme:
        name, caller = event["key_ID"], event["caller"]
        if event["event"] == "issued":
            delivered[name, caller] = 1
        elif event["event"] == "fetched":
            delivered[name, caller] = delivered.get((name, caller), 0) + 1
            if delivered[name, caller] > 1:
                findings.append(("burnt", f"key {name} was delivered to {caller} twice"))
        elif (name, caller) in delivered:
            delivered[name, caller] += 0.5  # a refusal
            if not (case.answer_destroyed or case.killed) or delivered[name, caller] > 1.5:
                findings.append(("burnt", f"key {name} was delivered to {caller} and asked for again"))
    live = {entry["ckn"] for entry in case.wire if entry["state"] in LIVE}
    accounted = {line.get("key_id") for line in case.audit if line.get("event") not in NO_END}
    names = {name for name, _ in delivered}
    # A lost answer cannot be named; one that came under another name is named by that.
    lost = sum(any(word in str(line.get(place) or "") for word in LOST for place in ("event", "outcome"))
               if not line.get("key_id") else line["key_id"] not in names for line in case.audit)
    for name in sorted(names):
        if case.ckn_of[name] in live or name in accounted:
            continue
        if (case.answer_destroyed or case.killed) and lost > 0:
            lost -= 1
            continue
        findings.append(("burnt", f"key {name} was delivered, never ran, and no line of the audit log tells what became of it"))
    reported = links(case.next_report)
    if case.held_key and reported and reported[0].get("key_id") != case.held_key:
        findings.append(("burnt", f"key {case.held_key} was in the journal, but the next run took {reported[0].get('key_id')}"))
    return findings[:1]


def leaks(case):
    for secret in case.secrets:
        raw = bytes.fromhex(secret)
        for form in forms(raw):
            for name, text in case.texts.items():
                if form in text:
                    return [("leaks", f"a key stands in {name}")]
    for name, text in case.texts.items():
        if REVERSIBLE.search(text):
            return [("leaks", f"a reversible secret stands in {name}")]
    return []


def forms(raw):
    hexadecimal = raw.hex().encode()
    return {hexadecimal, hexadecimal.upper(), base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"="), raw}


def links(report):
    return (report or {}).get("links") or []


def wrong_exit(case):
    """Exit code and report agree with each other and with the simulators."""
    problems = []
    if not case.killed:
        problems = disagreement(case.code, case.report, case.interrupted)
        problems += unlike_devices(case)
    problems += [f"the next run: {what}" for what in disagreement(case.next_code, case.next_report, False)]
    result = next((link["result"] for link in links(case.next_report)), None)
    if case.next_code != 0 or result != "rotated":
        problems.append(f"the next run ended with {case.next_code}, {result}")
    return [("wrong_exit", what) for what in problems[:1]]


def disagreement(code, report, interrupted):
    if report is None or not links(report):
        return [f"exit {code} and no report of the link"]
    results = [link["result"] for link in links(report)]
    good = all(result in GOOD_RESULTS for result in results)
    expected = {0} if good else {1}
    if interrupted:
        expected = {0, 130} if good else {130}
    if code not in expected:
        return [f"exit {code}, but the links are {', '.join(results)}"]
    words = {0: ("success", "interrupted"), 130: ("interrupted",)}.get(code, ("partial", "failure"))
    if report.get("result") not in words:
        return [f"exit {code}, but the report says {report.get('result')}"]
    for link in links(report):
        if (link.get("error") is None) != (link["result"] in GOOD_RESULTS):
            return [f"{link['result']} with the error {link.get('error')}"]
    return []


def unlike_devices(case):
    """The report's word for the link against what the devices have."""
    if case.rival or not links(case.report):  # the other runner's key may be in force by now
        return []
    link = links(case.report)[0]
    result, ckn = link["result"], link.get("ckn") or ""
    on_new = [device for device in case.devices if case.mka_after.get(device) == ("secured", ckn)]
    holds = [device for device in case.devices if ckn and ckn in case.keys_after.get(device, ())]
    pending = [device for device in case.devices if case.pending_after.get(device)]
    # A member that booted when all was done may not be back yet.
    if result == "rotated" and len(on_new) != len(case.devices) and not case.booting:
        return [f"rotated, but the devices say {case.mka_after}"]
    if result == "rotated" and pending:
        return [f"rotated, but {pending[0]} waits for a confirm"]
    if result == "reverted" and holds:
        return [f"reverted, but {holds[0]} holds the new key"]
    if result == "reverted" and pending:
        return [f"reverted, but {pending[0]} waits for a confirm"]
    # failed says either that nothing was written, or that the undo is not proven: then the devices may have anything.
    if on_new and (result == "reverted" or result == "failed" and "not proven" not in str(link.get("error"))):
        return [f"{result}, but {on_new[0]} runs on the new key"]
    if result == "rotated":
        for member in link.get("members", ()):
            if member["mka"] != "secured":
                return [f"rotated, but the report calls {member['device']} {member['mka']}"]
    return []
