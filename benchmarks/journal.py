"""What a project's journal costs after years of checks: generated, listed, verified.

Usage: python -m benchmarks.journal [--years 3] [--every 60]
Writes, in a temporary folder, the journal that `pgrepl check` every so many seconds leaves, and a run a day, the last
one signed. Then `pgrepl runs` and `pgrepl verify` are timed as processes, with the most memory that each had, and one
more line is recorded. Prints one line for each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pgrepl_lib.checks.checks import BESIDES, SET_UP
from pgrepl_lib.evidence import evidence
from pgrepl_lib.evidence.signing import attestation, keys
from pgrepl_lib.journal import audit, pieces
from pgrepl_lib.journal.runs import Run

DAY = 24 * 3600
NAMES = ", ".join((*SET_UP, *BESIDES))
CHECK = {
    "chapter": "cli",
    "cell": "",
    "name": "check",
    "title": "13 checks passed",
    "expected": NAMES,
    "seen": NAMES,
    "passed": True,
    "hint": "",
    "seconds": 0.912,
}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--years", type=float, default=3)
    options.add_argument("--every", type=float, default=60, help="seconds between two checks")
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-bench-"))
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    try:
        measure(
            folder / "bench", int(given.years * 365 * DAY / given.every), int(DAY / given.every)
        )
    finally:
        shutil.rmtree(folder)


def measure(project: Path, checks: int, a_day: int) -> None:
    started = time.perf_counter()
    generate(project, checks, a_day)
    there = [*pieces.closed(project / audit.FILE).values(), project / audit.FILE]
    size = sum(piece.stat().st_size for piece in there)
    print(
        f"{checks:,} checks, {checks // a_day:,} runs: {size / 1e6:.0f} MB in {len(there)} files "
        f"({size / checks:.0f} bytes a check), made in {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    words = ["--project", project.name, "-p", "workdir", str(project.parent)]
    for verb in (["runs"], ["runs", "--all"], ["verify"]):
        print(
            f"pgrepl {' '.join(verb):10}  {timed([sys.executable, '-m', 'pgrepl_lib', *verb, *words])}",
            flush=True,
        )
    started = time.perf_counter()
    audit.Journal.of_project(project).record("check", **CHECK)
    print(f"one more line      {1000 * (time.perf_counter() - started):.1f} ms")


def timed(command: list[str]) -> str:
    """Seconds (of which those of the processor) and most memory of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed: {said}")
    whole, busy = time.perf_counter() - started, used.ru_utime + used.ru_stime
    return f"{whole:.2f} s ({busy:.2f} s of the processor), {used.ru_maxrss / 1024:.0f} MB"


def generate(project: Path, checks: int, a_day: int) -> None:
    """The journal as `record` would leave it, without a flush to the disk for each line."""
    project.mkdir(parents=True)
    journal, last, runs = audit.Journal.of_project(project), (b"", 0), list[str]()
    stream, opening = journal.path.open("wb"), 0

    def write(kind: str, **facts: object) -> None:
        nonlocal last
        line = audit.line_after(last, kind, **facts).encode()
        stream.write(line + b"\n")
        last = (line, 1)

    for number in range(checks):
        if stream.tell() >= pieces.FULL + opening:
            stream.close()
            pieces.close_full(journal.path)
            stream = journal.path.open("wb")
            write(pieces.OPENING, number=len(pieces.closed(journal.path)) + 1, runs=runs)
            opening = stream.tell()
        if number % a_day == 0:
            runs.append(f"day-{number // a_day:05d}")
            write("run", run=runs[-1])
        write("check", **CHECK)
    stream.close()
    for name in runs:
        run_of(project, name)
    evidence.write_summary(Run(project / "runs" / runs[-1]))
    attestation.seal(Run(project / "runs" / runs[-1]), keys.signer())


def run_of(project: Path, name: str) -> None:
    """The folder of a completed run, with as many lines as one of the chapters 00 to 03 has."""
    folder = project / "runs" / name
    folder.mkdir(parents=True)
    last, lines = (b"", 0), list[bytes]()
    step = {
        "chapter": "01",
        "cell": "c",
        "title": "Step",
        "outcome": "unchanged",
        "commands": [],
        "seconds": 0.1,
    }
    opening = {
        "name": name,
        "chapters": ["01"],
        "params": {"project": project.name},
        "user": "u",
        "host": "h",
        "platform": "p",
        "repository": None,
        "python": "3",
        "packages": {},
    }
    facts = [
        ("run", opening),
        *([("step", step)] * 27),
        *([("check", CHECK)] * 13),
        ("end", {"status": "completed"}),
    ]
    for kind, values in facts:
        last = (audit.line_after(last, kind, **values).encode(), 1)
        lines.append(last[0] + b"\n")
    (folder / audit.FILE).write_bytes(b"".join(lines))


if __name__ == "__main__":
    main()
