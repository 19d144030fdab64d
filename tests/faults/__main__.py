"""Breaks the program at every step of a rotation and checks on the simulators that no link comes to harm.

A case is a fault at a step, on a member, in a variant. It runs the real program against a lab of simulated devices and key
management entities, lets the devices' timers expire, runs the program again without a fault, and holds what the simulators
wrote down against the promises of docs/rotation.md. The last line says: N cases, 0 apart, 0 burnt, 0 down, 0 leaks.
"""
import argparse
import collections
import fnmatch
import json
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import matrix
import promises
from bench import OWN_MOUNTS, REPOSITORY, Bench, own_mounts
from cases import all_cases
from harness import CaseRun, Verdict
from judge import KINDS
from program import build_hold
from steps import STEPS

EPILOG = """\
what is counted, by case:
  apart       a moment in which two ends had no usable key in common
  burnt       a key delivered twice, asked for again, or gone without a line in the audit log
  down        the link was down after it was once secured, or worse off than promised, or not on a fresh key after the next run
  leaks       a key in an output, a log, a report or a state file
  wrong_exit  exit code or report disagree with each other or with the simulators

exit codes: 0 all is well, 1 something of the above is not zero or a fault never struck, 2 usage, 130 interrupted
"""


def arguments():
    top = argparse.ArgumentParser(prog="scripts/faults", description=__doc__, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--quick", action="store_true", help="a short selection over both rollovers")
    top.add_argument("--case", action="append", default=[], metavar="NAME", help="this case only; * and ? match many; repeatable")
    top.add_argument("--list", action="store_true", help="print the names of the selected cases and end")
    top.add_argument("--jobs", type=int, metavar="N", help="cases at a time (default: three for each CPU)")
    top.add_argument("--json", metavar="FILE", help="write the counts as JSON")
    top.add_argument("--out", metavar="DIR", default=REPOSITORY / "build" / "faults",
                     help="matrix.html and the folders of failed cases go there (build/faults)")
    top.add_argument("--keep", action="store_true", help="keep the folders of good cases too")
    top.add_argument("--bin", metavar="DIR", default=os.environ.get("QKD_BIN", REPOSITORY / "build" / "release" / "bin"),
                     help="where qkd-macsec, junos-sim and kme-sim are (default: $QKD_BIN, else build/release/bin)")
    top.add_argument("--promises", metavar="FILE", default=REPOSITORY / "docs" / "rotation.md",
                     help="the table to hold the results against (docs/rotation.md)")
    return top


def worker(number, jobs, results, base, out, options, table):
    """A process with a bench of its own. Ends with the queue, or when it is asked to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    OWN_MOUNTS[0] = own_mounts()
    cases, current = {case.name: case for case in all_cases()}, ""
    try:
        with Bench(base / f"bench-{number}", options.bin, base / "hold.so") as bench:
            while (current := jobs.get()) is not None:
                case = cases[current]
                pair = bench.pairs[case.rollover, case.preceding]
                results.put(CaseRun(case, pair, out / "cases" / case.name, table, options.keep).run())
    except Exception as error:  # the harness is broken, not the program
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        results.put(Verdict(current, void=f"the bench broke: {type(error).__name__}: {error}"))
    results.put(number)


class Progress:
    """On a terminal one line that changes; else a line a minute. And what went wrong."""

    def __init__(self, total):
        self.total, self.done, self.bad = total, 0, 0
        self.terminal = sys.stdout.isatty()
        self.told = time.monotonic()

    def add(self, verdict):
        self.done += 1
        if not verdict.good:
            self.bad += 1
            self.clear()
            for kind, what in verdict.findings + ([("void", verdict.void)] if verdict.void else []):
                print(f"{verdict.name}: {kind}: {what}\n    {verdict.told}\n    {verdict.folder}", flush=True)
        if self.terminal:
            print(f"\r\x1b[K{self.done} of {self.total}, {self.bad} bad  {verdict.name}", end="", flush=True)
        elif time.monotonic() > self.told + 60:
            self.told = time.monotonic()
            print(f"{self.done} of {self.total}, {self.bad} bad", flush=True)

    def clear(self):
        if self.terminal:
            print("\r\x1b[K", end="")


def run_all(cases, options, table, out):
    """{name: Verdict}"""
    base = Path(tempfile.mkdtemp(prefix="qkd-faults-"))
    build_hold(base)
    context = multiprocessing.get_context("fork")
    jobs, results = context.Queue(), context.Queue()
    count = min(options.jobs or 3 * (os.cpu_count() or 1), len(cases))
    for case in sorted(cases, key=lambda case: not case.slow):
        jobs.put(case.name)
    for _ in range(count):
        jobs.put(None)
    workers = [context.Process(target=worker, args=(number, jobs, results, base, out, options, table), daemon=False)
               for number in range(count)]
    for process in workers:
        process.start()
    verdicts, progress, running = {}, Progress(len(cases)), set(range(count))
    try:
        while running:
            try:
                got = results.get(timeout=5)
            except queue.Empty:
                running -= {number for number in running if not workers[number].is_alive() and results.empty()}
                continue
            if isinstance(got, int):
                running.discard(got)
            else:
                verdicts[got.name] = got
                progress.add(got)
    finally:
        progress.clear()
        for process in workers:
            if process.is_alive() and running:
                process.terminate()
        for process in workers:
            process.join(60)
        shutil.rmtree(base, ignore_errors=True)
    for case in cases:
        verdicts.setdefault(case.name, Verdict(case.name, void="it was not run: its worker ended"))
    return verdicts


def main():
    options = arguments().parse_args()
    options.bin = Path(options.bin).resolve()  # every program runs in a folder of its own
    cases = all_cases()
    if options.quick:
        cases = [case for case in cases if case.quick]
    if options.case:
        cases = [case for case in all_cases() if any(fnmatch.fnmatchcase(case.name, want) for want in options.case)]
    if not cases:
        print("scripts/faults: no case is called that; see --list", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(case.name for case in cases))
        return 0
    for name in ("qkd-macsec", "junos-sim", "kme-sim"):
        if not os.access(Path(options.bin) / name, os.X_OK):
            print(f"scripts/faults: {Path(options.bin) / name} is not there; build it, or name its folder with --bin",
                  file=sys.stderr)
            return 2
    try:
        table = promises.read(options.promises)
        for case in cases:
            if not case.bare:
                promises.promised(table, case.word, case.phase, case.rollover)
    except promises.PromiseError as error:
        print(f"scripts/faults: {error}", file=sys.stderr)
        return 2

    out = Path(options.out).absolute()
    shutil.rmtree(out / "cases", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    begun = time.monotonic()
    try:
        verdicts = run_all(cases, options, table, out)
    except KeyboardInterrupt:
        print("scripts/faults: interrupted; its labs are down", file=sys.stderr)
        return 130
    seconds = time.monotonic() - begun
    return tell(cases, verdicts, seconds, out, options)


def tell(cases, verdicts, seconds, out, options):
    counts = collections.Counter({kind: 0 for kind in KINDS})
    for verdict in verdicts.values():
        counts.update({kind for kind, _ in verdict.findings})
    void = [verdict for verdict in verdicts.values() if verdict.void]
    total = len(verdicts) - len(void)
    print(matrix.text(cases, verdicts, STEPS))
    (out / "matrix.html").write_text(matrix.page(cases, verdicts, STEPS, total, counts, seconds), encoding="utf-8")
    print(f"matrix {out / 'matrix.html'}; {seconds:.0f} s, {sum(v.seconds for v in verdicts.values()) / len(verdicts):.1f} s a case")
    if void:
        print(f"{len(void)} cases prove nothing: {', '.join(v.name for v in void[:10])}{', ...' if len(void) > 10 else ''}")
    if options.json:
        Path(options.json).write_text(json.dumps({"cases": total, **{kind: counts[kind] for kind in KINDS}}) + "\n", encoding="utf-8")
    line = f"{total} cases, " + ", ".join(f"{counts[kind]} {kind}" for kind in KINDS[:4])
    print(line + (f", {counts['wrong_exit']} wrong_exit" if counts["wrong_exit"] else ""))
    return 1 if void or any(counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
