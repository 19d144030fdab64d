"""Runs cases: the fault, the devices' timers, the next run; gathers what the simulators wrote down and has it judged."""
import json
import shutil
import time
import traceback
from dataclasses import dataclass, field

import judge
from bench import CONFIRM, LEAD, ckn_of
from program import begins
from promises import promised

LINGER = 3600  # device seconds for which a dead session is kept: longer than any case takes


@dataclass
class Verdict:
    name: str
    findings: list = field(default_factory=list)  # [(kind, what)]
    void: str = ""                                # why the case proves nothing: its fault never struck, the harness broke
    seconds: float = 0.0
    told: str = ""                                # what the program made of it
    folder: str = ""

    @property
    def good(self):
        return not self.findings and not self.void


class CaseRun:
    """One case on one pair. The pair is left secured on a fresh key, or renewed."""

    def __init__(self, case, pair, folder, promises, keep=False):
        self.case, self.pair, self.folder, self.promises, self.keep_all = case, pair, folder, promises, keep

    def run(self):
        begun = time.monotonic()
        verdict = Verdict(self.case.name, folder=str(self.folder))
        self.folder.mkdir(parents=True)
        try:
            if self.case.bare:
                self.pair.renew()
            elif not self.pair.secured:
                self.secure()
            evidence = self.gather(verdict)
            verdict.findings = judge.judge(evidence)
        except Exception as error:  # whatever it is, the other cases go on
            verdict.void = f"{type(error).__name__}: {error}"
            (self.folder / "harness-error").write_text(traceback.format_exc())
        verdict.seconds = time.monotonic() - begun
        self.pair.secured = verdict.good and not self.case.lingering
        if self.case.lingering:
            self.linger(0)
            for device in self.pair.devices:  # ends sessions that nobody has ended
                self.pair.bench.reboot(self.pair.device(device))
        if verdict.good and not self.keep_all:
            shutil.rmtree(self.folder)
        else:
            self.keep(verdict)
        return verdict

    def secure(self):
        self.pair.renew()
        first = self.pair.run("first", self.folder)
        if first.code != 0:
            raise RuntimeError(f"the first configuration fails without any fault: see first.err")

    def gather(self, verdict):
        case, pair, clock = self.case, self.pair, self.pair.bench.clock
        pair.look()
        before = pair.look()
        state, ckn = next(iter(pair.mka(before[pair.initiator]).values()), ("off", ""))
        _, wire_from = pair.wire_entries()
        kme_from, audit_from = len(pair.bench.kme_audit()), len(self.audit_lines())
        evidence = judge.Evidence(link=pair.link, rollover=case.rollover, devices=pair.devices, promise=self.promise(),
                                  was_secured=state == "secured", ckn_before=ckn or "")
        evidence.secrets = set(pair.caks(before))

        strike = case.make(pair)
        try:
            if case.lingering:
                self.linger(LINGER)
            strike.prepare()
            faulty = pair.run("faulty", self.folder, strike, **strike.timeouts)
            struck = strike.struck()
        finally:
            strike.heal()
            pair.disarm()
        after = pair.look()
        evidence.killed, evidence.interrupted = faulty.killed, strike.interrupts
        evidence.answer_destroyed = strike.destroys_answer
        evidence.code, evidence.report = faulty.code, faulty.report
        evidence.mka_after = {device: next(iter(pair.mka(root).values()), ("off", "")) for device, root in after.items()}
        evidence.keys_after = {device: pair.names_of_keys(root) for device, root in after.items()}
        evidence.pending_after = {device: pending for device in pair.devices if (pending := pair.sim(device).get("pending"))}
        evidence.secrets |= pair.caks(after)
        evidence.booting = strike.booting()
        evidence.held_key = held_key(faulty.records) if faulty.killed else ""
        if not case.at_once:
            evidence.expired = True
            for step in (5, CONFIRM, LEAD, 70):
                clock.advance(step)
                pair.look()
        evidence.next_began = clock.now()
        following = pair.run("next", self.folder)
        end = pair.look()
        evidence.next_code, evidence.next_report = following.code, following.report
        evidence.mka_end = {device: next(iter(pair.mka(root).values()), ("off", "")) for device, root in end.items()}
        evidence.ended = clock.now()
        evidence.wire, _ = pair.wire_entries(wire_from)
        evidence.secrets |= pair.caks(end)
        evidence.kme = [event for event in pair.bench.kme_audit()[kme_from:] if event["caller"] in pair.devices]
        evidence.secrets |= {event["key"] for event in evidence.kme if event.get("key")}
        evidence.ckn_of = {event["key_ID"]: ckn_of(pair.link, event["key_ID"]) for event in evidence.kme}
        evidence.audit = self.audit_lines()[audit_from:] + [
            line for path in strike.other_audits() for line in read_lines(path)]
        evidence.rival = bool(strike.other_audits())
        evidence.texts = self.texts()
        verdict.told = self.told(faulty)
        if not struck:
            verdict.void = "the fault never struck"
        return evidence

    def linger(self, seconds):
        for device in self.pair.devices:
            self.pair.describe(device, linger_s=seconds)

    def promise(self):
        if self.case.bare:
            return ""
        return promised(self.promises, self.case.word, self.case.phase, self.case.rollover)

    def audit_lines(self):
        return read_lines(self.pair.state / "audit.jsonl")

    def texts(self):
        """All that the program wrote: in the case's folder and in its state."""
        return {str(path): path.read_bytes() for root in (self.folder, self.pair.state) for path in root.rglob("*")
                if path.is_file()}

    @staticmethod
    def told(faulty):
        if faulty.killed:
            return "killed"
        links = judge.links(faulty.report)
        error = (links[0].get("error") or {}).get("what", "") if links else ""
        return f"exit {faulty.code}, {links[0]['result'] if links else 'no report'}" + (f": {error}" if error else "")

    def keep(self, verdict):
        """What somebody needs who looks into the case: wires, devices, state, key management, and how to repeat it."""
        pair = self.pair
        shutil.copytree(pair.state, self.folder / "state", dirs_exist_ok=True)
        for device in pair.devices:
            (self.folder / f"{device}.json").write_text(json.dumps(pair.sim(device), indent=1))
        if pair.wire_log.exists():
            shutil.copy(pair.wire_log, self.folder / "wire.log")
        (self.folder / "kme-audit.jsonl").write_text(
            "".join(json.dumps(event) + "\n" for event in pair.bench.kme_audit() if event["caller"] in pair.devices))
        shutil.copy(pair.folder / "pipeline.toml", self.folder)
        lines = [f"{kind}: {what}" for kind, what in verdict.findings] + ([f"void: {verdict.void}"] if verdict.void else [])
        (self.folder / "verdict").write_text("\n".join([self.case.name, verdict.told, *lines,
                                                        f"repeat: scripts/faults --case {self.case.name}"]) + "\n")


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []


def held_key(records):
    """The key that a killed run had in its journal, at all members that had asked for it, and on no device."""
    name, held = "", False
    for record in records:
        if record.get("event") == "key.minted":
            name = record["attributes"]["key_id"]
        elif begins(record, "commit-confirmed"):
            return ""
        elif name and record.get("message") == "begins":
            held = record["stage"] != "fetch"  # what it answers is safe only when something else has begun
    return name if held else ""
