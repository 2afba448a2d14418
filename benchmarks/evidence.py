"""What the evidence costs: the share of `pgrepl run` that goes into its journal, its report and its signature.

Usage: python -m benchmarks.evidence [--engine local|docker] [--image IMAGE] [-n RUNS]
A whole run is timed as a process. Then, in a new process that has imported what executing notebooks needs, the same evidence is
made once more, with the imports that only it needs: every line of the journal is recorded again (hashed, flushed to the
disk), the facts about machine and sources are asked for, report, JUnit file, script, configuration and summary are written
and signed, and the cluster's state is taken down as before and after a run. The chapters themselves as notebooks and pages
are not counted: they are what is executed. Prints the median and range of the shares.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.setup import new_project
from pgrepl_lib import open_cluster

PARTS = ("journal", "state", "report", "signature")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--engine", choices=("local", "docker"), default="local")
    options.add_argument("--image", default="")
    options.add_argument("-n", "--runs", type=int, default=5)
    options.add_argument("--again", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.again:
        print(json.dumps(again(given.again)))
        return
    shares = [share(given.engine, given.image) for _ in range(given.runs)]
    print(
        f"evidence, {given.engine}, {given.runs} runs: median {statistics.median(shares):.1%} of the run "
        f"({min(shares):.1%} to {max(shares):.1%})"
    )


def share(engine: str, image: str) -> float:
    """One run from nothing and the cost of its evidence as a share of it."""
    with new_project(engine, image) as values:
        try:
            return _share(values)
        finally:
            with contextlib.redirect_stderr(io.StringIO()):
                open_cluster("", **values).remove(confirm=True)


def _share(values: dict[str, str]) -> float:
    words = [w for name, value in values.items() if value for w in ("-p", name, value)]
    whole, done = timed([sys.executable, "-m", "pgrepl_lib", "run", "--json", *words])
    run = next((Path(values["workdir"]) / values["project"] / "runs").iterdir())
    costs = json.loads(timed([sys.executable, "-m", "benchmarks.evidence", "--again", str(run)])[1])
    print(
        f"run {whole:6.2f} s   "
        + "   ".join(f"{p} {costs[p]:.3f} s" for p in PARTS)
        + f"   {sum(costs.values()) / whole:.1%} of {json.loads(done)['status']}",
        flush=True,
    )
    return float(sum(costs.values()) / whole)


def timed(command: list[str]) -> tuple[float, str]:
    started = time.perf_counter()
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started, done.stdout


def again(source: Path) -> dict[str, float]:
    """Make a finished run's evidence once more, beside it; seconds by part."""
    folder = source.with_name("again")
    folder.mkdir()
    for notebook in source.glob("0*"):
        shutil.copy(notebook, folder)
    seconds = {}
    import nbconvert  # noqa: F401 - the chapters' HTML needs it, whatever else a run leaves

    from pgrepl_lib.drift.snapshot import snapshot
    from pgrepl_lib.journal import provenance
    from pgrepl_lib.journal.audit import Journal
    from pgrepl_lib.journal.runs import Run
    from pgrepl_lib.runner import runner  # noqa: F401

    started = time.perf_counter()
    provenance.facts()
    for entry in Journal(source).entries():
        Journal(folder).record(**{k: v for k, v in entry.items() if k not in ("time", "previous")})
    seconds["journal"] = time.perf_counter() - started

    cluster = open_cluster(**Run(source).first("run")["params"])
    started = time.perf_counter()
    for _ in range(2):
        snapshot(cluster)
    seconds["state"] = time.perf_counter() - started

    started = time.perf_counter()
    from pgrepl_lib.evidence import evidence

    evidence.write(Run(folder))
    seconds["report"] = time.perf_counter() - started

    started = time.perf_counter()
    from pgrepl_lib.evidence.signing import attestation, keys

    attestation.seal(Run(folder), keys.signer())
    seconds["signature"] = time.perf_counter() - started
    return seconds


if __name__ == "__main__":
    main()
