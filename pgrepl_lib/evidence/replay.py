"""`replay.sh`: what a run's steps displayed, as a POSIX shell script that builds the same cluster.

A run that cannot leave one leaves none, and its report says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..cluster import state
from ..cluster.topology import Topology
from ..doors.files import write_atomic
from ..journal.audit import said
from ..journal.chapter import SET_UP
from ..journal.runs import Run
from ..words.redact import MASK
from . import template

FILE = "replay.sh"
TRIES = 90  # a second apart or more, as long as pgrepl waits for a server's start


def write(run: Run) -> Path | None:
    """Write `replay.sh` into the run's folder; None where the run can leave none."""
    if absent(run):
        return None
    path = run.folder / FILE
    write_atomic(path, script(run), 0o755)
    return path


def absent(run: Run) -> str:
    """Why a run leaves no script; empty where it leaves one.

    "chapters": it did not complete all that set a cluster up; "operated": these alone do not make
    the cluster that it found; "masked": a word of theirs is also a password, and so not in the
    journal.
    """
    ended = {c.name: c.status for c in run.chapters}
    if any(ended.get(name) != "completed" for name in SET_UP) or not run.of("engine"):
        return "chapters"
    if run.first("engine").get("operated"):
        return "operated"
    return "masked" if MASK in json.dumps([run.opening.get("params"), *_steps(run)]) else ""


def script(run: Run) -> str:
    """The script's text: the set-up chapters' steps, even those that had been done before."""
    params, engine = run.opening["params"], run.first("engine")
    name, ports = engine["facts"]["engine"], engine["port"]
    # Local starts show ports chosen later, too; Compose reads those of the first `.env`.
    if name == "local":
        ports = run.of("engine")[-1]["port"]
    record = state.text(params, "", name, ports, Topology.of({"ports": ports}, 0))
    before, after = record.split('""', 1)  # of the id, which the script finds or makes
    return (
        template.unescaped()
        .get_template(f"{FILE}.j2")
        .render(
            run=run,
            params=params,
            facts=engine["facts"],
            folder=str(Path(params["workdir"]) / params["project"]),
            tries=TRIES,
            steps=map(_step, _steps(run)),
            operated=", ".join(sorted({s["chapter"] for s in run.of("step")} - set(SET_UP))),
            record=(f'{before}"%s"', after),
            file=state.FILE,
        )
    )


def _steps(run: Run) -> list[dict[str, Any]]:
    return [s for s in run.of("step") if s.get("chapter") in SET_UP]


def _step(step: dict[str, Any]) -> tuple[str, str, str]:
    """Its chapter, its title in one line, and what it typed."""
    return step["chapter"], " ".join(said(step, "title").split()), "\n".join(_commands(step))


def _commands(step: dict[str, Any]) -> Iterator[str]:
    """The commands, each edit with its diff; its line keeps that of one done before, too."""
    diffs = re.split(r"^(?=--- )", step["adds"] or step["diff"], flags=re.MULTILINE)
    edits = {diff.partition("\n")[0].removeprefix("--- "): diff for diff in diffs if diff}
    for command in step.get("anew", [c["command"] for c in step["commands"]]):
        if not command.startswith("patch "):
            yield command
        elif edit := edits.get(command.removeprefix("patch ")):
            yield f"{command} <<'END'\n{edit}END"
