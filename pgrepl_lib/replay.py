"""`replay.sh`: what a run's steps displayed, in their order, as a POSIX shell script that builds the same cluster."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .chapter import SET_UP
from .command import here_document
from .files import write_atomic
from .runs import Run
from .state import FILE

HEAD = """#!/bin/sh
# What the run {run} of project {project} displayed, in order: sh replay.sh
# builds the same cluster on a machine that has {needs}.
# It stops at the first command that fails. Passwords are made anew, unless the files {folder}/secrets/superuser{secrets}
# are there: then those are used.
set -eu
umask 022
unset PGHOST PGPORT PGUSER PGDATABASE PGDATA PGSERVICE PGOPTIONS COMPOSE_FILE COMPOSE_PROJECT_NAME \\
    PGREPL_IMAGE PGREPL_NETWORK || true  # Compose would prefer them to the cluster's .env
export LC_ALL=C.UTF-8
if [ -e {folder}/{record} ]; then echo "{folder} holds a cluster already; nothing was touched." >&2; exit 2; fi
"""
NEEDS = {
    "docker": "docker with Compose, openssl and patch",
    "local": "PostgreSQL {version}'s programs (in PATH, or where the line `export PATH` says), openssl and patch",
}
END = "\n# By this record pgrepl finds the cluster (pgrepl check); the servers do not read it.\n"


def write(run: Run) -> Path | None:
    """Write `replay.sh` into the run's folder; None for a run that did not get as far as its engine."""
    if not run.of("engine"):
        return None
    path = run.folder / "replay.sh"
    write_atomic(path, script(run), 0o755)
    return path


def script(run: Run) -> str:
    """The script's text: the set-up chapters' steps, be it that they had been done before."""
    params, engine = run.first("run")["params"], run.first("engine")
    name, folder = engine["facts"]["engine"], shlex.quote(str(Path(params["workdir"]) / params["project"]))
    head = HEAD.format(run=run.name, project=params["project"], needs=NEEDS[name].format(version=params["pg_version"]),
                       folder=folder, record=FILE,
                       secrets="" if params["auth_method"] == "trust" else " and replication")  # fmt: skip
    steps = [s for s in run.of("step") if s["chapter"] in SET_UP]
    record = {"engine": name, "ports": engine["port"], "params": params}
    ending = END + here_document(FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n") + "\n"
    return head + "".join(_step(s) for s in steps) + _gaps(run) + ending


def _step(step: dict[str, Any]) -> str:
    return "\n".join(("", f"# {step['chapter']}: {' '.join(step['title'].split())}", *_commands(step), ""))


def _commands(step: dict[str, Any]) -> Iterator[str]:
    """The commands, each edit with its diff; an edit that was done before is the one that its journal line keeps."""
    edits = {_target(d): d for d in re.split(r"^(?=--- )", step["adds"] or step["diff"], flags=re.MULTILINE) if d}
    for each in step["commands"]:
        if not each["command"].startswith("patch "):
            yield each["command"]
        elif edit := edits.get(each["command"].removeprefix("patch ")):
            yield f"{each['command']} <<'END'\n{edit}END"


def _target(diff: str) -> str:
    return diff.partition("\n")[0].removeprefix("--- ")


def _gaps(run: Run) -> str:
    """What the reader must know that the script does not do."""
    more = sorted({s["chapter"] for s in run.of("step")} - set(SET_UP))
    undone = [s["title"] for s in run.of("step") if s["outcome"] in ("failed", "interrupted")]
    lines = [f"# Left out, because it operates a cluster instead of setting it up: {', '.join(more)}."] if more else []
    lines += [f"# The run did not end well ({run.status}); it stopped at: {'; '.join(undone) or 'the end of its journal'}."
              ] if run.status != "completed" else []  # fmt: skip
    return "".join(f"\n{line}" for line in lines) + ("\n" if lines else "")
