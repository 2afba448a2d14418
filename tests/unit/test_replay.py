"""`replay.sh` of journals made for it: when there is one, where it waits, and which passwords it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib.evidence import replay
from pgrepl_lib.logins import passwords
from pgrepl_lib.words.redact import MASK

from ..journals import SET_UP, Line, begun, chapter, engine, journal, step

TITLE = "Executar a instância d'água"


def lines(folder: Path, command: str = "true", **more: Any) -> list[Line]:
    """A run of the set-up chapters with one step."""
    params = {"project": "demo", "workdir": str(folder), "pg_version": 14, "auth_method": "trust"}
    commands = [{"command": command, "exit_code": 0, "output": ""}]
    ended = [
        chapter(1 + n, name, status)
        for n, name in enumerate(SET_UP)
        for status in ("running", "completed")
    ]
    return [
        begun(params=params),
        engine(),
        step(0.6, SET_UP[1], TITLE, commands=commands, **more),
        *ended,
    ]


def sh(folder: Path, command: str = "true", **more: Any) -> subprocess.CompletedProcess[str]:
    """The script of such a run, on a machine where a second takes no time."""
    (folder / "bin").mkdir(exist_ok=True)
    for program in ("sleep", "openssl", "patch"):
        (folder / "bin" / program).write_text("#!/bin/sh\n")
        (folder / "bin" / program).chmod(0o755)
    script = replay.write(journal(folder / "run", lines(folder, command, **more)))
    assert script
    return subprocess.run(
        ["sh", str(script)],
        cwd=folder,
        env={"PATH": f"{folder}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_wait_ends_also_in_vain(tmp_path: Path) -> None:
    done = sh(tmp_path, "until echo asked; do sleep 1; done")
    assert (done.returncode, done.stdout.count("asked")) == (0, 1), done.stderr
    done = sh(tmp_path, "until echo asked; [ -e never ]; do sleep 1; done")
    assert (done.returncode, done.stdout.count("asked")) == (1, replay.TRIES + 1)
    assert (
        done.stderr == f"{TITLE}: not after {replay.TRIES} tries; the log of the server says why.\n"
    )


def test_what_only_takes_changes_back_is_left_out(tmp_path: Path) -> None:
    done = sh(tmp_path, "echo undone; false", anew=["echo done"])
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    done = sh(tmp_path, "false", anew=[])
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    "password",
    ["plain", "a b", 'q"$x`;#%', "it's", "a:b", "b\\s", " a", "a ", "a\tb", "é", "a\r", "a\nb", ""],
)
def test_the_script_and_pgrepl_refuse_the_same_passwords(tmp_path: Path, password: str) -> None:
    secret = tmp_path / "demo/secrets/superuser"
    secret.parent.mkdir(parents=True)
    secret.write_text(password + "\n", newline="")
    done = sh(tmp_path)
    usable = bool(passwords.USABLE.fullmatch(password + "\n"))
    assert usable == (password in ("plain", "a b", 'q"$x`;#%'))
    assert (done.returncode, "printable ASCII" in done.stderr) == (
        (0, False) if usable else (2, True)
    ), done.stderr


def test_what_is_missing_is_told_before_anything_is_done(tmp_path: Path) -> None:
    sh(tmp_path)
    (tmp_path / "bin/patch").unlink()
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "run/replay.sh")],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "this machine does not do: command -v patch; nothing was touched.\n",
    )


def without(what: Line, given: list[Line]) -> list[Line]:
    return [line for line in given if line != what]


def test_a_run_that_cannot_leave_one_leaves_none(tmp_path: Path) -> None:
    whole = lines(tmp_path)
    assert replay.absent(journal(tmp_path / "whole", whole)) == ""
    cases = {
        "chapters": [
            without(chapter(4, SET_UP[3], "completed"), whole),
            [whole[0], *whole[2:]],
            whole[:1],
            whole[1:2],
        ],
        "operated": [[*whole[:1], {**whole[1], "operated": True}, *whole[2:]]],
        "masked": [
            lines(tmp_path, f"psql --username={MASK}"),
            lines(tmp_path, adds=f"+port = {MASK}"),
        ],
    }
    for why, runs in cases.items():
        for number, made in enumerate(runs):
            run = journal(tmp_path / f"{why}-{number}", made)
            assert (replay.absent(run), replay.write(run), (run.folder / replay.FILE).exists()) == (
                why,
                None,
                False,
            )


def test_ports_that_were_chosen_again_on_the_way_are_those_of_the_record(tmp_path: Path) -> None:
    """On local the start shows them; on docker what is typed is the `.env` of the beginning."""
    for name, port in (("local", 15440), ("docker", 15432)):
        made = lines(tmp_path)
        facts = {"engine": name, "compose": "docker compose 2.26.1", "postgres": "14.23"}
        made[1] = {**made[1], "facts": facts}
        made.insert(3, {**made[1], "port": {"primary": 15440, "replica": 15441}})
        script = replay.script(journal(tmp_path / name, made))
        assert f'"primary": {port},' in script
