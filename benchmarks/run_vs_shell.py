"""Time `pgrepl run` against a plain shell script that does the same on the same engine, in turn, in the same run.

Usage: run_vs_shell.py [--engine local|docker] [--image IMAGE] [-n RUNS]
Whole processes, from nothing to a verified replica; images and programs are here before the clock starts, and both
sides are removed outside it. Prints each side's median and range, and the median and range of the ratios of pairs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.setup import new_project
from pgrepl_lib import open_cluster
from pgrepl_lib.engine.local.engine import LocalEngine

FLOOR = Path(__file__).with_name("floor.sh")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=("local", "docker"), default="local")
    options.add_argument("--image", default="")
    options.add_argument("-n", "--runs", type=int, default=5)
    given = options.parse_args()
    pairs = []
    for number in range(given.runs + 1):
        pair = once(given.engine, given.image, floor), once(given.engine, given.image, ours)
        note = "(warm-up, not counted)" if number == 0 else ""
        print(
            f"shell {pair[0]:6.2f} s   pgrepl run {pair[1]:6.2f} s   ratio {pair[1] / pair[0]:.2f} {note}",
            flush=True,
        )
        pairs.append(pair)
    report(given.engine, pairs[1:])


def once(engine: str, image: str, side: object) -> float:
    """One timing of one side in a folder of its own, which is removed afterwards."""
    with new_project(engine, image) as values:
        try:
            return side(values)  # type: ignore[operator,no-any-return]
        finally:
            cluster = open_cluster("", **values)
            if side is floor and cluster.engine.name == "docker":  # what is not ours stays
                down = ["docker", "compose", "-p", values["project"], "down", "--volumes"]
                subprocess.run(down, cwd=cluster.folder, capture_output=True, check=True)
            cluster.remove(confirm=True)


def ours(values: dict[str, str]) -> float:
    words = [w for name, value in values.items() if value for w in ("-p", name, value)]
    return timed([sys.executable, "-m", "pgrepl_lib", "run", *words], dict(os.environ))


def floor(values: dict[str, str]) -> float:
    cluster = open_cluster("", **values)
    cluster.fetch()
    environment = dict(os.environ)
    if isinstance(cluster.engine, LocalEngine):
        found = cluster.engine.binaries
        environment["PATH"] = f"{found.server}:{found.client}:{environment['PATH']}"
        environment["PGUSER_OS"] = cluster.engine.user or ""
    ports, params = cluster.engine.ports, cluster.params
    return timed(
        [
            str(FLOOR),
            cluster.engine.name,
            str(cluster.folder),
            params.project,
            str(ports["primary"]),
            str(params.network),
            params.image,
        ],
        environment,
    )


def timed(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def report(engine: str, pairs: list[tuple[float, float]]) -> None:
    columns = {
        "shell": [p[0] for p in pairs],
        "pgrepl run": [p[1] for p in pairs],
        "ratio": [p[1] / p[0] for p in pairs],
    }
    print(f"\n{engine}, {len(pairs)} pairs: median (range)")
    for name, figures in columns.items():
        print(
            f"{name:>11}  {statistics.median(figures):6.2f} ({min(figures):.2f} to {max(figures):.2f})"
        )


if __name__ == "__main__":
    main()
