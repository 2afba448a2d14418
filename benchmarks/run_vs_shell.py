"""Time `pgrepl run` against a plain shell script that does the same on the same engine, in turn, in the same run.

Usage: run_vs_shell.py [--engine local|docker] [--image IMAGE] [-n RUNS]
Whole processes, from nothing to a verified replica; images and programs are here before the clock starts, and both
sides are removed outside it. Prints each side's median and range, and the median and range of the ratios of pairs;
of `pgrepl status` on what the run has left, too.
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
from pgrepl_lib.engine.docker.host import compose
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
        (shell,), (run, status) = (once(given.engine, given.image, side) for side in (floor, ours))
        note = "(warm-up, not counted)" if number == 0 else ""
        print(
            f"shell {shell:6.2f} s   pgrepl run {run:6.2f} s   ratio {run / shell:.2f}   "
            f"status {status:.2f} s {note}",
            flush=True,
        )
        pairs.append((shell, run, status))
    report(given.engine, pairs[1:])


def once(engine: str, image: str, side: object) -> list[float]:
    """The timings of one side in a folder of its own, which is removed afterwards."""
    with new_project(engine, image) as values:
        try:
            return side(values)  # type: ignore[operator,no-any-return]
        finally:
            cluster = open_cluster("", **values)
            if side is floor and cluster.engine.name == "docker":  # what is not ours stays
                down = [*compose(), "-p", values["project"], "down", "--volumes"]
                subprocess.run(down, cwd=cluster.folder, capture_output=True, check=True)
            cluster.remove(confirm=True)


def ours(values: dict[str, str]) -> list[float]:
    words = [w for name, value in values.items() if value for w in ("-p", name, value)]
    pgrepl = [sys.executable, "-m", "pgrepl_lib"]
    return [timed([*pgrepl, verb, *words], dict(os.environ)) for verb in ("run", "status")]


def floor(values: dict[str, str]) -> list[float]:
    cluster = open_cluster("", **values)
    cluster.fetch()
    environment = dict(os.environ)
    if isinstance(cluster.engine, LocalEngine):
        found = cluster.engine.binaries
        environment["PATH"] = f"{found.server}:{found.client}:{environment['PATH']}"
        environment["PGUSER_OS"] = cluster.engine.user or ""
    ports, params = cluster.engine.ports, cluster.params
    command = [
        str(FLOOR),
        cluster.engine.name,
        str(cluster.folder),
        params.project,
        str(ports["primary"]),
        str(params.network),
        params.image,
    ]
    return [timed(command, environment)]


def timed(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def report(engine: str, pairs: list[tuple[float, float, float]]) -> None:
    columns = {
        "shell": [p[0] for p in pairs],
        "pgrepl run": [p[1] for p in pairs],
        "ratio": [p[1] / p[0] for p in pairs],
        "status": [p[2] for p in pairs],
    }
    print(f"\n{engine}, {len(pairs)} pairs: median (range)")
    for name, figures in columns.items():
        print(
            f"{name:>11}  {statistics.median(figures):6.2f} ({min(figures):.2f} to {max(figures):.2f})"
        )


if __name__ == "__main__":
    main()
