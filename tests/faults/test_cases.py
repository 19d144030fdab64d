"""The matrix is as large as it claims, its names are stable words, and every case has a promise to be held against."""
import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cases  # noqa: E402
import matrix  # noqa: E402
import promises  # noqa: E402
import steps  # noqa: E402
from harness import Verdict, held_key  # noqa: E402

FAULTS_OF_THE_PROMISE = {"kill", "drop", "delay", "hang", "garbage", "error", "lock-held", "confirm-expired", "disk-full", "kme-400",
                         "kme-401", "kme-503", "kme-slow", "kme-pool-empty", "kme-key-gone", "transport-missing", "transport-old",
                         "transport-forged", "clock-skew", "reboot"}


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.all = cases.all_cases()

    def test_it_is_large_enough_over_both_rollovers(self):
        for rollover in cases.ROLLOVERS:
            mine = [case for case in self.all if case.rollover == rollover]
            self.assertGreater(len(mine), 300)
            self.assertGreaterEqual(sum(case.quick for case in mine), 15)
            self.assertEqual(FAULTS_OF_THE_PROMISE - {case.fault for case in mine}, set())
            self.assertEqual({"commit-confirmed", "confirm"} - {c.step for c in mine if c.timer_lost and not c.preceding}, set())

    def test_every_step_has_a_row_and_is_struck(self):
        self.assertEqual({case.step for case in self.all} - set(steps.STEPS), set())
        self.assertEqual(set(steps.STEPS) - {case.step for case in self.all}, set())

    def test_the_program_is_killed_at_every_step(self):
        killed = {case.step for case in self.all if case.fault == "kill"}
        self.assertEqual(set(steps.STEPS) - killed, {"read-again"})

    def test_every_case_has_a_promise(self):
        table = promises.read(Path(__file__).resolve().parents[2] / "docs" / "rotation.md")
        for case in self.all:
            if not case.bare:
                self.assertIn(promises.promised(table, case.word, case.phase, case.rollover), promises.WORDS, case.name)

    def test_a_bad_cell_shows_in_text_and_page(self):
        some = [case for case in self.all if case.step in ("mint", "fetch") and case.rollover == "key-chain"][:6]
        verdicts = {case.name: Verdict(case.name) for case in some}
        self.assertNotIn("!", matrix.text(some, verdicts, steps.STEPS))
        verdicts[some[0].name].findings = [("down", "<it fell>")]
        self.assertIn("1!/", matrix.text(some, verdicts, steps.STEPS))
        page = matrix.page(some, verdicts, steps.STEPS, 6, {kind: 0 for kind in matrix.KINDS}, 1)
        self.assertIn("&lt;it fell&gt;", page)
        self.assertIn(f"scripts/faults --case {some[0].name}", page)


class Promises(unittest.TestCase):
    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rotation.md"
            path.write_text(text)
            return promises.read(path)

    TABLE = ("# T\n\n## Promises\n\nwords\n\n| fault | key-chain | pre-shared-key |\n|---|---|---|\n"
             "| kill commit | hitless: it is | reverts in time |\n| kill | degraded | degraded |\n\nmore\n\n## Next\n| a | b | c |\n")

    def test_the_narrower_line_counts(self):
        table = self.read(self.TABLE)
        self.assertEqual(promises.promised(table, "kill", "commit", "pre-shared-key"), "reverts")
        self.assertEqual(promises.promised(table, "kill", "confirm", "pre-shared-key"), "degraded")
        with self.assertRaises(promises.PromiseError):
            promises.promised(table, "drop", "commit", "key-chain")

    def test_what_is_no_table_of_promises_is_refused(self):
        for text in ("# T\n", self.TABLE.replace("key-chain |", "chain |"), self.TABLE.replace("hitless: it is", "never mind"),
                     self.TABLE.replace("| kill |", "| kill commit |"), self.TABLE.replace("| degraded |\n", "|\n"),
                     "## Promises\n\nnothing\n"):
            with self.assertRaises(promises.PromiseError, msg=text):
                self.read(text)


class HeldKey(unittest.TestCase):
    MINTED = {"event": "key.minted", "attributes": {"key_id": "k"}, "message": "key.minted key_id=k", "stage": "mint"}

    @staticmethod
    def begin(stage):
        return {"stage": stage, "message": "begins"}

    def test_what_the_next_run_must_use(self):
        announce, fetch, acknowledge, commit = map(self.begin, ("announce", "fetch", "acknowledge", "commit-confirmed"))
        self.assertEqual(held_key([self.MINTED]), "", "it may not have been written down yet")
        self.assertEqual(held_key([self.MINTED, announce]), "k")
        self.assertEqual(held_key([self.MINTED, announce, fetch]), "", "its answer may be lost")
        self.assertEqual(held_key([self.MINTED, announce, fetch, acknowledge]), "k")
        self.assertEqual(held_key([self.MINTED, announce, fetch, acknowledge, commit]), "", "it may be on a device")


class CommandLine(unittest.TestCase):
    def test_the_last_line_and_the_counts(self):
        program = load_program()
        some = [case for case in cases.all_cases()][:3]
        verdicts = {case.name: Verdict(case.name) for case in some}
        with tempfile.TemporaryDirectory() as folder:
            options = program.arguments().parse_args(["--json", f"{folder}/counts.json"])
            code, last = self.tell(program, some, verdicts, folder, options)
            self.assertEqual((code, last), (0, "3 cases, 0 apart, 0 burnt, 0 down, 0 leaks"))
            self.assertEqual(Path(f"{folder}/counts.json").read_text(),
                             '{"cases": 3, "apart": 0, "burnt": 0, "down": 0, "leaks": 0, "wrong_exit": 0}\n')
            verdicts[some[0].name].findings = [("burnt", "x"), ("burnt", "y"), ("wrong_exit", "z")]
            code, last = self.tell(program, some, verdicts, folder, options)
            self.assertEqual((code, last), (1, "3 cases, 0 apart, 1 burnt, 0 down, 0 leaks, 1 wrong_exit"))
            verdicts[some[0].name].findings = []
            verdicts[some[1].name].void = "the fault never struck"
            code, last = self.tell(program, some, verdicts, folder, options)
            self.assertEqual((code, last), (1, "2 cases, 0 apart, 0 burnt, 0 down, 0 leaks"))

    @staticmethod
    def tell(program, some, verdicts, folder, options):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = program.tell(some, verdicts, 1.0, Path(folder), options)
        return code, out.getvalue().splitlines()[-1]


def load_program():
    import importlib.util
    spec = importlib.util.spec_from_file_location("faults_main", Path(__file__).with_name("__main__.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    unittest.main()
