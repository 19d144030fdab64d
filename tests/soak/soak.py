#!/usr/bin/env python3
"""Many rotations of one lab link in one process: does anything grow, and do both ends use the same key all the time?

  tests/soak/soak.py [--rotations 1000] [--rollover key-chain|pre-shared-key] [--outage SECONDS] [--json FILE]

Agreement is taken from the simulators' own record of the wire, which has a line for every change: the share of device time in
which both ends give the live key the same role (primary, or preceding while a rollover settles). With --outage the KMEs are
off for so many real seconds after half of the rotations. Exit status 1: something grew, the ends were apart, or they agreed less
than they must: all the time with key-chain, all but the commit skew with pre-shared-key.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import qkd_lab  # noqa: E402  (the path is set above)

LONGEST_COMMIT_SKEW_MS = 10_000  # device time; of one rotation


def wire_lines(lab):
    for log in sorted((lab / "wires").glob("*.log.1")) + sorted((lab / "wires").glob("*.log")):
        for line in log.read_text().splitlines():
            yield json.loads(line)


def agreement(lines):
    """(share in percent, longest disagreement in ms, total ms, apart) over the time in which MACsec is on at both ends."""
    total = same = longest = apart = 0
    for now, after in zip(lines, lines[1:]):
        apart += bool(now["apart"])
        if now["state"] == "off":
            continue
        span = after["at"] - now["at"]
        total += span
        if len({end["role"] for end in now["ends"]}) == 1:
            same += span
        else:
            longest = max(longest, span)
    return (100.0 * same / total if total else 0.0), longest, total, apart


def soak(args, folder):
    lab = folder / "lab"
    qkd_lab.lab_command("up", lab, "--speed", "1", "--lead", "90s", "--confirm", "60s", "--configured", "--rollover",
                        args.rollover, "--transport", args.transport)
    try:
        step = max(1, args.rotations // 20)
        driver = subprocess.Popen([qkd_lab.BIN / "qkd-soak", lab, str(args.rotations), "--every", str(step)],
                                  stdout=subprocess.PIPE, text=True)
        samples, outage = [], args.outage
        try:
            for line in driver.stdout:
                samples.append(json.loads(line))
                print(line.rstrip(), file=sys.stderr)
                if outage and samples[-1]["rotations"] >= args.rotations // 2:
                    qkd_lab.lab_command("stop", lab, "kme")
                    time.sleep(outage)
                    qkd_lab.lab_command("start", lab, "kme")
                    outage = 0
            code = driver.wait(timeout=60)
        finally:
            driver.stdout.close()
            if driver.poll() is None:
                driver.kill()
                driver.wait(timeout=60)
        for device in json.loads((lab / "lab.json").read_text())["devices"]:
            qkd_lab.lab_command("state", lab, device)  # brings the record of the wires up to date
        return code, samples, list(wire_lines(lab))
    finally:
        qkd_lab.lab_command("down", lab)


def judge(args, code, samples, lines):
    """What is wrong, in words."""
    wrong = []
    if code or not samples or samples[-1]["rotations"] < args.rotations:
        wrong.append(f"the driver ended with {code} after {samples[-1]['rotations'] if samples else 0} rotations")
        return wrong, None
    # What is needed for ever is there after the first tenth.
    early, late = samples[max(1, len(samples) // 10) - 1], samples[-1]
    for what, slack in (("descriptors", 0), ("threads", 0), ("journal_octets", 0), ("state_octets", 4096), ("rss_kib", 2048)):
        if late[what] > early[what] + slack:
            wrong.append(f"{what} grew from {early[what]} to {late[what]}")
    if args.outage and not late["failures"]:
        wrong.append("the outage of the KMEs was not noticed")
    share, longest, total, apart = agreement(lines)
    if apart:
        wrong.append(f"apart {apart} times")
    if args.rollover == "key-chain" and share < 100.0:
        wrong.append(f"agreement {share:.6f} %, and it must be 100 %")
    if longest > LONGEST_COMMIT_SKEW_MS:
        wrong.append(f"the ends disagreed for {longest} ms of device time")
    return wrong, (share, longest, total)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rotations", type=int, default=1000)
    parser.add_argument("--rollover", choices=("key-chain", "pre-shared-key"), default="key-chain")
    parser.add_argument("--transport", default="keyid-memory")
    parser.add_argument("--outage", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    # In memory where there is room: what is tested is not the disk.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="qkd-soak-", dir=place))
    try:
        code, samples, lines = soak(args, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    wrong, measured = judge(args, code, samples, lines)
    if measured:
        share, longest, total = measured
        last = samples[-1]
        print(f"{last['rotations']} rotations ({args.rollover}), {last['failures']} failed tries, {last['seconds']:.0f} s; "
              f"agreement {share:.5f} % of {total / 3600e3:.1f} h of device time, longest disagreement {longest} ms; "
              f"memory {last['rss_kib']} KiB, {last['descriptors']} descriptors, state {last['state_octets']} octets")
    for line in wrong:
        print("WRONG: " + line)
    if args.json:
        Path(args.json).write_text(json.dumps({"samples": samples, "agreement": measured, "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
