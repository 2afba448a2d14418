"""`replay.sh`: what a run's steps displayed, in order, as a POSIX shell script.

It builds the same cluster. A run that cannot leave one that does leaves none, and its report says
why.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
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
from ..words.text import mark, t

FILE = "replay.sh"
# A second apart, and longer where the question itself takes time; pgrepl waits as long for a
# server's start.
TRIES = 90
WIDTH = 98  # characters of a comment
HEAD = """#!/bin/sh
{about}
set -eu
umask 022
unset PGHOST PGPORT PGUSER PGDATABASE PGDATA PGSERVICE PGOPTIONS COMPOSE_FILE \\
    COMPOSE_PROJECT_NAME PGREPL_IMAGE PGREPL_NETWORK PGREPL_ID PGREPL_FOLDER \\
    PGREPL_USER || true  # {preferred}
export LC_ALL=C.UTF-8
folder={folder}
refuse() {{ printf '%s; %s.\\n' "$1" {untouched} >&2; exit 2; }}
[ ! -e "$folder/{record}" ] || refuse "$folder "{there}
for needed in {needed}; do
    $needed >/dev/null 2>&1 || refuse {lacking}": $needed"
done
for secret in superuser replication; do
    [ ! -e "$folder/secrets/$secret" ] || case $(cat "$folder/secrets/$secret") in
    '' | ' '* | *' ' | *[\\':\\\\]* | *[!\\ -~]*)
        refuse "$folder/secrets/$secret "{one_line} ;;
    esac
done
sleep() {{  # {between}
    tries=$((tries + 1))
    [ "$tries" -gt {tries} ] || {{ command sleep "$1"; return; }}
    printf '%s: %s.\\n' "$step" {in_vain} >&2
    exit 1
}}
"""
ABOUT = mark(
    "What the run {run} of project {project} displayed, in order: sh replay.sh builds the same "
    "cluster on a machine that has {needs}. It stops at the first command that fails, and at a "
    "wait that {tries} tries do not end. Passwords are made anew, unless the cluster's folder has "
    "{secrets}: then those are used."
)
ONE_LINE = mark("must be one line of printable ASCII without ' : \\ and without a space at an end")
NEEDS = {
    "docker": mark("docker with Compose, openssl and patch"),
    "local": mark(
        "PostgreSQL {version}'s programs (in PATH, or where the line `export PATH` says), "
        "openssl and patch"
    ),
}
OPERATED = mark("Left out, because it operates a cluster instead of setting it up: {chapters}.")


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
    record = _record(name, state.text(params, "", name, ports, Topology.of({"ports": ports}, 0)))
    steps = "".join(map(_step, _steps(run)))
    found = t("By this record pgrepl finds the cluster; the servers do not read it.")
    return f"{_head(run, engine['facts'])}{steps}{_gaps(run)}\n# {found}\n{record}\n"


def _head(run: Run, facts: dict[str, str]) -> str:
    params = run.opening["params"]
    in_vain = t("not after {tries} tries; the log of the server says why", tries=TRIES)
    return HEAD.format(
        about=_about(run, facts["engine"]),
        folder=shlex.quote(str(Path(params["workdir"]) / params["project"])),
        needed=_needed(facts),
        record=state.FILE,
        tries=TRIES,
        preferred=t("preferred to .env"),
        between=t("what the displayed waits call between two tries"),
        untouched=shlex.quote(t("nothing was touched")),
        there=shlex.quote(t("holds a cluster already")),
        lacking=shlex.quote(t("this machine does not do")),
        one_line=shlex.quote(t(ONE_LINE)),
        in_vain=shlex.quote(in_vain),
    )


def _about(run: Run, engine: str) -> str:
    """What the script is, for its reader."""
    params, secrets = run.opening["params"], ["secrets/superuser", "secrets/replication"]
    if params["auth_method"] == "trust":
        secrets.pop()
    about = t(
        ABOUT,
        run=run.name,
        project=params["project"],
        needs=t(NEEDS[engine], version=params["pg_version"]),
        tries=TRIES,
        secrets=", ".join(secrets),
    )
    lines = textwrap.wrap(about, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def _record(engine: str, text: str) -> str:
    """What writes `cluster.json`, with the id that is in `.env` already, or one of its own."""
    made = {"docker": "sed -n 's/^PGREPL_ID=//p' .env", "local": "openssl rand -hex 16"}[engine]
    before, after = text.split('""', 1)
    begin = shlex.quote(f'{before}"%s"')
    return f"{{ printf {begin} \"$({made})\"\ncat <<'END'\n{after}END\n}} > {state.FILE}"


def _needed(facts: dict[str, str]) -> str:
    """Commands that succeed where what the script uses is there, and its service answers.

    Each is one word of a shell.
    """
    needed = ["openssl version", "command -v patch"]
    if facts["engine"] == "docker":
        needed = ["docker version", f"{facts['compose'].rpartition(' ')[0]} version", *needed]
    return " ".join(map(shlex.quote, needed))


def _steps(run: Run) -> list[dict[str, Any]]:
    return [s for s in run.of("step") if s.get("chapter") in SET_UP]


def _step(step: dict[str, Any]) -> str:
    title, commands = " ".join(said(step, "title").split()), list(_commands(step))
    if not commands:
        left_out = t("Left out, because a new cluster has nothing to take back: {step}", step=title)
        return f"\n# {left_out}\n"
    if any("; do sleep 1; done" in command for command in commands):
        commands.insert(0, f"step={shlex.quote(title)} tries=0")
    return "\n".join(("", f"# {step['chapter']}: {title}", *commands, ""))


def _commands(step: dict[str, Any]) -> Iterator[str]:
    """The commands, each edit with its diff.

    An edit that was done before is the one that its journal line keeps.
    """
    diffs = re.split(r"^(?=--- )", step["adds"] or step["diff"], flags=re.MULTILINE)
    edits = {_target(diff): diff for diff in diffs if diff}
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
    if not more:
        return ""
    left_out = t(OPERATED, chapters=", ".join(more))
    return f"\n# {left_out}\n"
