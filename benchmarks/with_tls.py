"""Time `pgrepl run` with TLS against one without it, from nothing, in turn: at most 1.15 times is promised.

Usage: with_tls.py [--engine local|docker] [--image IMAGE] [-n RUNS]
Prints each side's median and range, the median and range of the ratios of pairs, and where the time goes: the steps
that only TLS has, and those that take longer with it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.setup import new_project

Pair = tuple[float, float]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=("local", "docker"), default="local")
    options.add_argument("--image", default="")
    options.add_argument("-n", "--runs", type=int, default=5)
    given = options.parse_args()
    pairs, longer = [], Counter[str]()
    for number in range(given.runs + 1):
        (without, its_steps), (with_tls, steps) = (
            once(given.engine, given.image, tls) for tls in ("off", "on")
        )
        note = "(warm-up, not counted)" if number == 0 else ""
        print(
            f"without {without:6.2f} s   with TLS {with_tls:6.2f} s   "
            f"ratio {with_tls / without:.2f} {note}",
            flush=True,
        )
        if number:
            pairs.append((without, with_tls))
            longer.update(steps)
            longer.subtract(its_steps)
    report(given.engine, pairs, longer)


def once(engine: str, image: str, tls: str) -> tuple[float, Counter[str]]:
    """How long a run took, in seconds, and each of its steps and checks."""
    with new_project(engine, image) as values:
        try:
            started = time.perf_counter()
            pgrepl("run", {**values, "tls": tls})
            seconds = time.perf_counter() - started
            (journal,) = Path(values["workdir"], values["project"]).glob("runs/*/journal.jsonl")
            return seconds, steps_of(journal)
        finally:
            pgrepl("down", values, "--yes")


def steps_of(journal: Path) -> Counter[str]:
    """The seconds of each step and check, by its title."""
    entries = map(json.loads, journal.read_text("utf-8").splitlines())
    found = Counter[str]()
    for entry in entries:
        found[entry.get("title", "")] += entry.get("seconds", 0)
    return found


def pgrepl(verb: str, values: dict[str, str], *more: str) -> None:
    words = [w for name, value in values.items() if value for w in ("-p", name, value)]
    command = [sys.executable, "-m", "pgrepl_lib", verb, *words, *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pgrepl {verb} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def report(engine: str, pairs: list[Pair], longer: Counter[str]) -> None:
    columns = {
        "without": [p[0] for p in pairs],
        "with TLS": [p[1] for p in pairs],
        "ratio": [p[1] / p[0] for p in pairs],
    }
    print(f"\n{engine}, {len(pairs)} pairs: median (range)")
    for name, figures in columns.items():
        print(
            f"{name:>11}  {statistics.median(figures):6.2f} ({min(figures):.2f} to {max(figures):.2f})"
        )
    print("\nsteps and checks that take longer with TLS, seconds a run:")
    for title, seconds in longer.most_common(8):
        print(f"{seconds / len(pairs):11.2f}  {title}")


if __name__ == "__main__":
    main()
