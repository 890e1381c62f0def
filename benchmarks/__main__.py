"""Run the benchmark: ``make bench``, or ``python -m benchmarks [--quick] [--leads N] [--out FILE] [part …]``."""

import argparse
import json
import sys
from pathlib import Path

import uvloop
from loguru import logger

from benchmarks.place import PLACE, served
from benchmarks.plan import plan_for
from benchmarks.session import PARTS, Session
from benchmarks.table import markdown


def main() -> None:
    """Measure, print the table, write it and the JSON beside each other."""
    arguments = _arguments()
    logger.disable("daemon")  # what initialise has to say of every fresh database
    with served() as server:
        session = Session(server, plan_for(is_quick=arguments.quick, leads=arguments.leads))
        uvloop.run(session.measure(arguments.parts or list(PARTS)))
    out = arguments.out or PLACE / "bench.json"
    out.write_text(json.dumps(session.results.to_json(), indent=1) + "\n")
    text = markdown(session.results)
    out.with_suffix(".md").write_text(text)
    sys.stdout.write(text)
    sys.stderr.write(f"written: {out}, {out.with_suffix('.md')}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, under 90 seconds")
    parser.add_argument("--leads", type=int, help="leads of a burst")
    parser.add_argument("--out", type=Path, help="the JSON file; the table goes beside it")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"what to measure: {', '.join(PARTS)}")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown part '{unknown[0]}': expected some of {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    main()
