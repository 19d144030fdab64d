"""The result as a table of steps and faults: text for a terminal, HTML for a browser."""
import html

from judge import KINDS


def table(cases, verdicts):
    """(columns, {step: {fault: [(good, total)] per rollover}}) over the cases that ran."""
    columns, rows = [], {}
    for case in cases:
        if case.name not in verdicts:
            continue
        if case.fault not in columns:
            columns.append(case.fault)
        cell = rows.setdefault(case.step, {}).setdefault(case.fault, {"good": 0, "total": 0, "bad": []})
        cell["total"] += 1
        if verdicts[case.name].good:
            cell["good"] += 1
        else:
            cell["bad"].append(verdicts[case.name])
    return columns, rows


def text(cases, verdicts, steps):
    """Faults downwards, since they are more than steps; a cell is the number of cases, `bad/all` where some are bad."""
    columns, rows = table(cases, verdicts)
    shown = [step for step in steps if step in rows]
    width = max([len(fault) for fault in columns] + [5])
    lines = [" " * width + "  " + " ".join(short(step).rjust(6) for step in shown)]
    for fault in columns:
        cells = []
        for step in shown:
            cell = rows[step].get(fault)
            if cell is None:
                cells.append("     .")
            else:
                bad = cell["total"] - cell["good"]
                cells.append((f"{bad}!/{cell['total']}" if bad else str(cell["total"])).rjust(6))
        lines.append(fault.ljust(width) + "  " + " ".join(cells))
    return "\n".join(lines)


SHORT = {"connect": "connec", "initial-config": "initcf", "announce": "announ", "receive": "receiv", "acknowledge": "acknow",
         "commit-confirmed": "commit", "read-back": "readbk", "confirm": "confrm", "read-again": "readag", "release": "releas",
         "withdraw": "withdr"}


def short(step):
    return SHORT.get(step, step)[:6]


def page(cases, verdicts, steps, total, counts, seconds):
    columns, rows = table(cases, verdicts)
    out = ["<!doctype html><meta charset=utf-8><title>Fault matrix</title><style>",
           "body{font:14px system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse}",
           "td,th{border:1px solid #ccc;padding:.3em .5em;text-align:center}th.s{writing-mode:vertical-rl;text-align:left}",
           "th.f{text-align:left}.ok{background:#d8f0d8}.bad{background:#f6c6c6}.no{color:#bbb}pre{white-space:pre-wrap}</style>",
           f"<h1>{total} cases</h1><p>{', '.join(f'{counts[kind]} {kind}' for kind in KINDS)}; {seconds:.0f} s</p><table><tr><th>"]
    shown = [step for step in steps if step in rows]
    out += [f"<th class=s>{html.escape(step)}" for step in shown]
    bad = []
    for fault in columns:
        out.append(f"<tr><th class=f>{html.escape(fault)}")
        for step in shown:
            cell = rows[step].get(fault)
            if cell is None:
                out.append("<td class=no>·")
            elif cell["bad"]:
                bad += cell["bad"]
                out.append(f"<td class=bad title='{html.escape(', '.join(v.name for v in cell['bad']), quote=True)}'>"
                           f"{len(cell['bad'])}/{cell['total']}")
            else:
                out.append(f"<td class=ok>{cell['total']}")
    out.append("</table>")
    for verdict in bad:
        what = "\n".join([f"{kind}: {what}" for kind, what in verdict.findings] + ([f"void: {verdict.void}"] if verdict.void else []))
        out.append(f"<h3>{html.escape(verdict.name)}</h3><pre>{html.escape(verdict.told)}\n{html.escape(what)}\n"
                   f"scripts/faults --case {html.escape(verdict.name)}</pre>")
    return "".join(out) + "\n"
