"""A harness that cannot find a fault is a defect: doctored evidence of every kind must be called by its name."""
import base64
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import judge  # noqa: E402

A, B = "mx304-11", "mx304-12"
OLD, NEW, NEXT = "01" * 32, "02" * 32, "03" * 32
KEY, NEXT_KEY = "key-1", "key-2"
SECRET = "00112233445566778899aabbccddeeff" * 2


def entry(at, state, ckn=OLD, apart=False, role="primary"):
    return {"at": at, "state": state, "apart": apart, "ckn": ckn,
            "ends": [{"device": device, "interface": "et-0/0/0", "state": state, "role": role} for device in (A, B)]}


def report(result, ckn, key=KEY, error=None, mka="secured"):
    whole = {"rotated": "success", "unchanged": "success", "pending": "success"}.get(result, "failure")
    return {"result": whole, "links": [{"name": "a--b", "result": result, "ckn": ckn, "key_id": key, "error": error,
                                        "members": [{"device": device, "mka": mka} for device in (A, B)]}]}


def good():
    """A rotation that went well although something happened, and the one after it."""
    return judge.Evidence(
        link="a--b", rollover="key-chain", promise="hitless", devices=(A, B), was_secured=True, ckn_before=OLD,
        code=0, report=report("rotated", NEW), mka_after={A: ("secured", NEW), B: ("secured", NEW)},
        keys_after={A: {OLD, NEW}, B: {OLD, NEW}}, expired=True, next_code=0, next_report=report("rotated", NEXT, NEXT_KEY),
        mka_end={A: ("secured", NEXT), B: ("secured", NEXT)}, next_began=100_000, ended=200_000,
        wire=[entry(10_000, "preceding", role="preceding"), entry(12_000, "secured", NEW),
              entry(150_000, "preceding", NEW, role="preceding"), entry(152_000, "secured", NEXT)],
        kme=[{"event": "issued", "key_ID": KEY, "caller": A}, {"event": "fetched", "key_ID": KEY, "caller": B},
             {"event": "issued", "key_ID": NEXT_KEY, "caller": A}, {"event": "fetched", "key_ID": NEXT_KEY, "caller": B}],
        audit=[{"event": "rotated", "key_id": KEY, "outcome": "live"}], ckn_of={KEY: NEW, NEXT_KEY: NEXT},
        texts={"log": b"nothing secret here"}, secrets={SECRET})


def reverted():
    """The faulty run took everything back; its key is in the audit log."""
    case = good()
    case.code, case.report = 1, report("reverted", NEW, error={"code": "rejected", "what": "no"})
    case.mka_after = {A: ("secured", OLD), B: ("secured", OLD)}
    case.keys_after = {A: {OLD}, B: {OLD}}
    case.wire = [entry(150_000, "preceding", role="preceding"), entry(152_000, "secured", NEXT)]
    case.audit = [{"event": "reverted", "key_id": KEY, "outcome": "taken back"}]
    return case


class Verdicts(unittest.TestCase):
    def kinds(self, case):
        return sorted({kind for kind, _ in judge.judge(case)})

    def expect(self, case, *kinds):
        self.assertEqual(self.kinds(case), sorted(kinds), judge.judge(case))

    def test_what_went_well_is_left_alone(self):
        self.expect(good())
        self.expect(reverted())

    def test_ends_apart_for_one_instant(self):
        case = good()
        case.wire.insert(1, entry(11_000, "down", "", apart=True, role="none"))
        self.assertIn("apart", self.kinds(case))

    def test_a_link_that_went_down(self):
        for state in ("down", "init", "off"):
            for promise in ("hitless", "reverts", "degraded"):
                case = good()
                case.promise = promise
                case.wire.insert(1, entry(11_000, state, "", role="none"))
                self.expect(case, "down")

    def test_what_is_down_while_a_member_boots_is_nobodys_fault(self):
        case = good()
        case.wire.insert(1, entry(11_000, "down", "", role="none"))
        case.booting = [(10_500, 11_500)]
        self.expect(case)
        case.booting = [(11_001, 12_000)]
        self.expect(case, "down")

    def test_worse_off_than_promised(self):
        for state in ("preceding", "fallback"):
            case = good()
            case.wire = [entry(10_000, state, role=state), entry(50_000, "secured", NEW), *case.wire[2:]]
            self.expect(case, "down")
            case.promise = "reverts"
            self.expect(case)

    def test_a_reverted_link_must_be_back_before_anybody_helps(self):
        case = good()
        case.wire = [entry(10_000, "fallback", role="fallback"), entry(152_000, "secured", NEXT)]
        case.mka_after = {A: ("fallback", OLD), B: ("fallback", OLD)}
        case.code, case.report = 1, report("degraded", NEW, error={"code": "conflict"}, mka="fallback")
        case.promise = "reverts"
        self.expect(case, "down")
        case.promise = "degraded"
        self.expect(case)
        case.promise, case.expired = "reverts", False  # the next run came at once: the timers had no chance
        self.expect(case)

    def test_not_back_after_the_next_run(self):
        for end in ({A: ("fallback", NEXT), B: ("fallback", NEXT)}, {A: ("secured", NEXT), B: ("secured", NEW)}, {}):
            case = good()
            case.mka_end = end
            self.assertIn("down", self.kinds(case))

    def test_the_next_run_leaves_the_old_key(self):
        case = good()
        case.mka_end = {A: ("secured", OLD), B: ("secured", OLD)}
        self.assertIn("down", self.kinds(case))

    def test_the_next_run_reports_another_key_than_runs(self):
        case = good()
        case.next_report = report("rotated", "04" * 32, NEXT_KEY)
        self.expect(case, "wrong_exit")

    def test_a_key_delivered_twice(self):
        case = good()
        case.kme.insert(2, {"event": "fetched", "key_ID": KEY, "caller": B})
        self.expect(case, "burnt")

    def test_a_key_asked_for_again(self):
        case = good()
        case.kme.insert(2, {"event": "refused", "key_ID": KEY, "caller": B})
        self.expect(case, "burnt")
        case.answer_destroyed = True  # then once is right
        self.expect(case)
        case.kme.insert(2, {"event": "refused", "key_ID": KEY, "caller": B})
        self.expect(case, "burnt")

    def test_a_refusal_before_the_delivery_is_no_second_request(self):
        case = good()
        case.kme.insert(1, {"event": "refused", "key_ID": KEY, "caller": B})
        self.expect(case)

    def test_a_key_that_is_gone_without_a_word(self):
        case = reverted()
        case.audit = [{"event": "reverted", "key_id": "another", "outcome": "taken back"}]
        self.expect(case, "burnt")

    def test_a_key_whose_end_is_not_told(self):
        for event in ("minted", "resumed", "unresolved", "kept", "pending"):
            case = reverted()
            case.audit = [{"event": event, "key_id": KEY, "outcome": ""}]
            self.expect(case, "burnt")

    def test_a_lost_answer_must_be_told(self):
        case = reverted()
        case.answer_destroyed = True
        case.audit = []
        self.expect(case, "burnt")
        case.audit = [{"event": "lost", "key_id": None, "outcome": "the answer was lost"}]
        self.expect(case)
        case.answer_destroyed = False  # nothing was destroyed: a word for nobody is no excuse
        self.expect(case, "burnt")

    def test_one_word_for_one_lost_key(self):
        case = reverted()
        case.answer_destroyed = True
        case.audit = [{"event": "lost", "key_id": None, "outcome": ""}]
        case.kme.insert(0, {"event": "issued", "key_ID": "key-0", "caller": A})
        case.ckn_of["key-0"] = "09" * 32
        self.expect(case, "burnt")

    def test_a_journalled_key_must_be_used(self):
        case = good()
        case.killed, case.code, case.report = True, -9, None
        case.held_key = KEY
        self.expect(case, "burnt")
        case.next_report["links"][0]["key_id"] = KEY
        self.expect(case)

    def test_keys_in_every_spelling(self):
        raw = bytes.fromhex(SECRET)
        for text in (SECRET.encode(), SECRET.upper().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw,
                     b'"secret $9$dlVs4aJUi.5JGn9"', b"$9$.5-/aJUi"):
            case = good()
            case.texts["state/journal/x"] = b"before " + text + b" after"
            self.expect(case, "leaks")

    def test_a_mention_of_the_sign_is_no_secret(self):
        case = good()
        case.texts["help"] = b"strings that begin with $9$ are reversible"
        self.expect(case)

    def test_exit_code_and_report_disagree(self):
        for code, result in ((1, "rotated"), (0, "reverted"), (3, "failed"), (2, "failed"), (-11, "rotated")):
            case = good() if result == "rotated" else reverted()
            case.code = code
            case.report["links"][0]["result"] = result
            self.expect(case, "wrong_exit")

    def test_no_report(self):
        case = good()
        case.report = None
        self.expect(case, "wrong_exit")
        case.killed, case.code = True, -9
        self.expect(case)

    def test_an_interruption_has_its_own_exit_code(self):
        case = reverted()
        case.interrupted, case.code = True, 130
        case.report["result"] = "interrupted"
        self.expect(case)
        case.code = 1
        self.expect(case, "wrong_exit")

    def test_rotated_but_not_secured(self):
        case = good()
        case.mka_after[B] = ("fallback", OLD)
        self.expect(case, "wrong_exit")

    def test_rotated_but_unconfirmed(self):
        case = good()
        case.pending_after = {B: "qkd-macsec"}
        self.expect(case, "wrong_exit")

    def test_reverted_but_still_there(self):
        case = reverted()
        case.keys_after[B] = {OLD, NEW}
        self.expect(case, "wrong_exit")
        case = reverted()
        case.pending_after = {A: "qkd-macsec"}
        self.expect(case, "wrong_exit")
        case = reverted()
        case.mka_after[A] = ("secured", NEW)
        self.expect(case, "wrong_exit")

    def test_failed_must_admit_what_it_could_not_undo(self):
        case = reverted()
        case.report = report("failed", NEW, error={"code": "timeout", "what": "no answer", "hint": ""})
        case.mka_after[A] = ("secured", NEW)
        self.expect(case, "wrong_exit")
        case.report["links"][0]["error"]["hint"] = "the undo is not proven on every member"
        self.expect(case)

    def test_a_failure_without_a_reason(self):
        case = reverted()
        case.report["links"][0]["error"] = None
        self.expect(case, "wrong_exit")

    def test_the_next_run_fails(self):
        case = good()
        case.next_code = 1
        self.expect(case, "wrong_exit")


if __name__ == "__main__":
    unittest.main()
