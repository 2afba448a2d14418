"""`replay.sh`: what a run's steps displayed, in their order, as a POSIX shell script that builds the same cluster.

A run that cannot leave one that does leaves none, and its report says why.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..cluster import state
from ..cluster.topology import Topology
from ..doors.files import write_atomic
from ..doors.redact import MASK
from ..journal.chapter import SET_UP
from ..journal.runs import Run

FILE = "replay.sh"
TRIES = 90  # a second apart, and longer where the question itself takes time; pgrepl waits as long for a server's start
HEAD = """#!/bin/sh
# What the run {run} of project {project} displayed, in order: sh replay.sh
# builds the same cluster on a machine that has {needs}.
# It stops at the first command that fails, and at a wait that {tries} tries do not end. Passwords are made anew, unless the
# cluster's folder holds the files secrets/superuser{secrets}: then those are used.
set -eu
umask 022
unset PGHOST PGPORT PGUSER PGDATABASE PGDATA PGSERVICE PGOPTIONS COMPOSE_FILE COMPOSE_PROJECT_NAME \\
    PGREPL_IMAGE PGREPL_NETWORK PGREPL_ID PGREPL_FOLDER PGREPL_USER || true  # preferred to .env
export LC_ALL=C.UTF-8
folder={folder}
refuse() {{ printf '%s; nothing was touched.\\n' "$1" >&2; exit 2; }}
[ ! -e "$folder/{record}" ] || refuse "$folder holds a cluster already"
for needed in {needed}; do
    $needed >/dev/null 2>&1 || refuse "this machine does not do: $needed"
done
for secret in superuser replication; do
    [ ! -e "$folder/secrets/$secret" ] || case $(cat "$folder/secrets/$secret") in
    '' | ' '* | *' ' | *[\\':\\\\]* | *[!\\ -~]*)
        refuse "$folder/secrets/$secret must be one line of printable ASCII without ' : \\\\ and without a space at an end" ;;
    esac
done
sleep() {{  # what the displayed waits call between two tries
    tries=$((tries + 1))
    [ "$tries" -gt {tries} ] || {{ command sleep "$1"; return; }}
    printf '%s: not after {tries} tries; the log of the server says why.\\n' "$step" >&2
    exit 1
}}
"""
NEEDS = {
    "docker": "docker with Compose, openssl and patch",
    "local": "PostgreSQL {version}'s programs (in PATH, or where the line `export PATH` says), openssl and patch",
}
END = "\n# By this record pgrepl finds the cluster; the servers do not read it.\n"


def write(run: Run) -> Path | None:
    """Write `replay.sh` into the run's folder; None where the run can leave none."""
    if absent(run):
        return None
    path = run.folder / FILE
    write_atomic(path, script(run), 0o755)
    return path


def absent(run: Run) -> str:
    """Why a run leaves no script; empty where it leaves one.

    "chapters": it did not complete all that set a cluster up; "operated": these alone do not make the cluster that it found;
    "masked": a word of theirs is also a password, and so not in the journal.
    """
    ended = {c.name: c.status for c in run.chapters}
    if any(ended.get(name) != "completed" for name in SET_UP) or not run.of("engine"):
        return "chapters"
    if run.first("engine").get("operated"):
        return "operated"
    return "masked" if MASK in json.dumps([run.opening.get("params"), *_steps(run)]) else ""


def script(run: Run) -> str:
    """The script's text: the set-up chapters' steps, be it that they had been done before."""
    params, engine = run.opening["params"], run.first("engine")
    name, ports = engine["facts"]["engine"], engine["port"]
    if (
        name == "local"
    ):  # their starts show those chosen later; Compose reads those of the first `.env`
        ports = run.of("engine")[-1]["port"]
    head = HEAD.format(
        run=run.name,
        project=params["project"],
        needs=NEEDS[name].format(version=params["pg_version"]),
        folder=shlex.quote(str(Path(params["workdir"]) / params["project"])),
        needed=_needed(engine["facts"]),
        secrets="" if params["auth_method"] == "trust" else " and secrets/replication",
        record=state.FILE,
        tries=TRIES,
    )
    record = _record(name, state.text(params, "", name, ports, Topology.of({"ports": ports}, 0)))
    return head + "".join(map(_step, _steps(run))) + _gaps(run) + f"{END}{record}\n"


def _record(engine: str, text: str) -> str:
    """What writes `cluster.json`, with the id that is in `.env` already, or one of its own."""
    made = {"docker": "sed -n 's/^PGREPL_ID=//p' .env", "local": "openssl rand -hex 16"}[engine]
    before, after = text.split('""', 1)
    begin = shlex.quote(f'{before}"%s"')
    return f"{{ printf {begin} \"$({made})\"\ncat <<'END'\n{after}END\n}} > {state.FILE}"


def _needed(facts: dict[str, str]) -> str:
    """Commands that succeed where what the script uses is there, and its service answers; each is one word of a shell."""
    compose = (
        [f"{facts['compose'].rpartition(' ')[0]} version"] if facts["engine"] == "docker" else []
    )
    docker = ["docker version"] if compose else []
    return " ".join(map(shlex.quote, (*docker, *compose, "openssl version", "command -v patch")))


def _steps(run: Run) -> list[dict[str, Any]]:
    return [s for s in run.of("step") if s.get("chapter") in SET_UP]


def _step(step: dict[str, Any]) -> str:
    title, commands = " ".join(step["title"].split()), list(_commands(step))
    if not commands:
        return f"\n# Left out, because a new cluster has nothing to take back: {title}\n"
    waits = (
        [f"step={shlex.quote(title)} tries=0"]
        if any("; do sleep 1; done" in c for c in commands)
        else []
    )
    return "\n".join(("", f"# {step['chapter']}: {title}", *waits, *commands, ""))


def _commands(step: dict[str, Any]) -> Iterator[str]:
    """The commands, each edit with its diff; an edit that was done before is the one that its journal line keeps."""
    edits = {
        _target(d): d
        for d in re.split(r"^(?=--- )", step["adds"] or step["diff"], flags=re.MULTILINE)
        if d
    }
    for command in step.get("anew", [c["command"] for c in step["commands"]]):
        if not command.startswith("patch "):
            yield command
        elif edit := edits.get(command.removeprefix("patch ")):
            yield f"{command} <<'END'\n{edit}END"


def _target(diff: str) -> str:
    return diff.partition("\n")[0].removeprefix("--- ")


def _gaps(run: Run) -> str:
    """What the reader must know that the script does not do."""
    more = sorted({s["chapter"] for s in run.of("step")} - set(SET_UP))
    return (
        f"\n# Left out, because it operates a cluster instead of setting it up: {', '.join(more)}.\n"
        if more
        else ""
    )
