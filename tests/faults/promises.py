"""The promises of docs/rotation.md: a table fault | key-chain | pre-shared-key under the heading "## Promises"."""
from pathlib import Path

WORDS = ("hitless", "reverts", "degraded")
HEADING = "## Promises"
COLUMNS = ["fault", "key-chain", "pre-shared-key"]


class PromiseError(Exception):
    """The table cannot be read, or has no line for a fault."""


def read(path):
    """{(fault words, rollover): promise}"""
    lines = iter(Path(path).read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.strip() == HEADING:
            break
    else:
        raise PromiseError(f'{path} has no heading "{HEADING}"')
    promises, head = {}, None
    for line in lines:
        if line.startswith("#"):
            break
        if not line.startswith("|"):
            if head and line.strip():
                break
            continue
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if head is None:
            if cells != COLUMNS:
                raise PromiseError(f"{path}: the columns must be {' | '.join(COLUMNS)}, not {' | '.join(cells)}")
            head = cells
        elif set("".join(cells)) <= set("-: "):
            continue
        elif len(cells) != len(COLUMNS):
            raise PromiseError(f"{path}: {len(cells)} cells in: {line}")
        else:
            for rollover, cell in zip(COLUMNS[1:], cells[1:]):
                word = cell.split()[0].strip(":,;.").lower() if cell else ""
                if word not in WORDS:
                    raise PromiseError(f"{path}: {cells[0]}, {rollover}: {word or 'nothing'} is none of {', '.join(WORDS)}")
                if (cells[0], rollover) in promises:
                    raise PromiseError(f"{path}: {cells[0]} is there twice")
                promises[cells[0], rollover] = word
    if not promises:
        raise PromiseError(f"{path}: the table of promises is empty")
    return promises


def promised(promises, fault, phase, rollover):
    """The line of `fault phase` counts before that of `fault`."""
    for words in (f"{fault} {phase}", fault):
        if (words, rollover) in promises:
            return promises[words, rollover]
    raise PromiseError(f"no promise for {fault} ({phase}) with {rollover}")
