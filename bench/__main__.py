"""`python -m bench`: measure, in turns with a peer if there is one; write a table, the figures as JSON, and plots."""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from bench import machine, report
from bench.rows import FULL, QUICK, ROWS, Figure
from bench.subject import Own, Subject, peer

PEER = """a second server that speaks the v1 API, measured in turns with this Kala: its address, such as
http://127.0.0.1:8000, where all jobs will be deleted; or the command that starts it, such as
'go-kala serve --port {port} --boltpath {data}'"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: under two minutes")
    parser.add_argument("--rounds", type=int, help="how often each row is measured; the medians count (3; 1 if quick)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="only these")
    parser.add_argument("--peer", metavar="WHO", help=PEER)
    parser.add_argument("--out", type=Path, default=machine.BUILD, help="where the results go (%(default)s)")
    given = parser.parse_args()
    subjects: list[Subject] = [Own(), *([peer(given.peer)] if given.peer else [])]
    scale, rounds = (QUICK, given.rounds or 1) if given.quick else (FULL, given.rounds or 3)
    found: dict[tuple[str, str], list[Figure]] = defaultdict(list)
    for number in range(rounds):
        for name in given.rows:
            for subject in subjects:
                _say(f"round {number + 1} of {rounds}: {name}, {subject.name}")
                for figure in ROWS[name](subject, scale):
                    column = figure.column or subject.name
                    found[figure.name, column].append(figure)
                    _say(f"    {column}: {figure.name} {figure.value:,.2f} {figure.unit}")
    report.write(found, given.out)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
