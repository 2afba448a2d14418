"""The command line without a server: where parameters come from, which commands answer a machine, how quiet they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pgrepl_lib.cli import group, options, output
from pgrepl_lib.cli.main import main
from pgrepl_lib.cluster import state
from pgrepl_lib.cluster.topology import Topology
from pgrepl_lib.doors.command import environment
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.params import Params, from_environment, variable

OTHERS = {
    "project": "other",
    "engine": "local",
    "pg_version": "15",
    "image": "postgres:15",
    "replicas": "2",
    "network": "10.1.2.0/24",
    "port": "6000",
    "replication_user": "streamer",
    "auth_method": "trust",
    "tls": "on",
    "certificates": "/nowhere",
    "settings": '{"work_mem": "8MB"}',
    "workdir": "/nowhere",
}
NO_REPORT = {"psql", "lab", "guide"}  # another program takes over; a document


@pytest.fixture(autouse=True)
def nothing_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Params.model_fields:
        monkeypatch.delenv(variable(name), raising=False)


def commands(group: Any = main, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of the tree by its words; a group is none."""
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        yield from (
            commands(command, words) if isinstance(command, click.Group) else [(words, command)]
        )


# --- options and environment variables --------------------------------------------------------------------------------------


@click.command()
@options.all_parameters
def asked(given: options.Given) -> options.Given:
    """What a command is asked for."""
    return options.values(given)


def typed(*words: str) -> Any:
    return asked(words, standalone_mode=False)


def test_every_parameter_has_an_option_and_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(OTHERS) == set(Params.model_fields)
    own = {f"--{name.replace('_', '-')}": value for name, value in OTHERS.items()}
    assert typed(*(word for option in own.items() for word in option)) == OTHERS
    assert typed(*(word for given in OTHERS.items() for word in ("-p", *given))) == OTHERS
    for name, value in OTHERS.items():
        monkeypatch.setenv(f"PGREPL_{name.upper()}", value)
    assert typed() == OTHERS
    assert Params.parse(from_environment()) == Params.parse(OTHERS) != Params.parse({})


def test_options_win_over_p_and_both_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROJECT", "ENGINE", "PORT", "REPLICAS"):
        monkeypatch.setenv(f"PGREPL_{name}", OTHERS[name.lower()])
    given = ("-p project second", "-p engine auto", "--project first", "--port 7000", "-p port 1")
    assert typed(*" ".join(given).split()) == {
        "project": "first",
        "engine": "auto",
        "port": "7000",
        "replicas": "2",
    }


def test_the_environment_wins_over_what_the_project_was_made_with_and_that_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Params.parse(
        {
            "workdir": str(tmp_path),
            "project": "p",
            "port": 7000,
            "replicas": 3,
            "replication_user": "made",
        }
    )
    state.write(made, "x", "local", {"primary": 7000, "replica": 7001}, Topology.of({}, 1))
    monkeypatch.setenv("PGREPL_WORKDIR", str(tmp_path))
    monkeypatch.setenv("PGREPL_PROJECT", "p")
    monkeypatch.setenv("PGREPL_PORT", "7100")
    monkeypatch.setenv("PGREPL_REPLICAS", "4")
    found = Params.parse(options.with_made(typed("--replicas", "5")))
    assert (found.replicas, found.port, found.replication_user, found.pg_version) == (
        5,
        7100,
        "made",
        14,
    )
    monkeypatch.setenv("PGREPL_PROJECT", "q")
    assert Params.parse(options.with_made(typed())).replication_user == "repl"


def test_a_project_whose_folder_was_moved_is_found_where_it_is(tmp_path: Path) -> None:
    made = Params.parse({"workdir": "/gone", "project": "p"})
    state.write(
        made.model_copy(update={"workdir": tmp_path}),
        "x",
        "local",
        {"primary": 7000},
        Topology.of({}, 1),
    )
    (tmp_path / "p" / state.FILE).write_text(
        (tmp_path / "p" / state.FILE).read_text().replace(str(tmp_path), "/gone")
    )
    assert options.with_made({"workdir": str(tmp_path), "project": "p"})["workdir"] == str(tmp_path)


def test_an_empty_variable_is_none_and_unknown_ones_are_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGREPL_PG_VERSION", "")
    for name in (
        "PGREPL_RUN_FOLDER",
        "PGREPL_SIGNING_KEY",
        "PGREPL_PRIMARY_PORT",
        "PGREPL_NONSENSE",
    ):
        monkeypatch.setenv(name, "x")
    assert typed() == {}


def test_every_command_and_each_of_its_options_is_said_in_both_languages() -> None:
    for words, command in commands():
        assert isinstance(command, group.Spoken), words
        for option in command.params:
            said = isinstance(option, group.SpokenOption | click.Argument)
            assert said or option.name == "help", f"{words} {option.name}"


@pytest.mark.parametrize(
    "command", sorted(words for words, c in commands() if any(p.name == "given" for p in c.params))
)
def test_a_wrong_variable_is_named_by_every_command_of_a_cluster(
    command: str, tmp_path: Path
) -> None:
    arguments = {"replica follow": ["a", "b"], "sync": ["off"]}.get(
        command, ["a"] * wanted_arguments(command)
    )
    exported = {"PGREPL_PG_VERSION": "13", "PGREPL_WORKDIR": str(tmp_path)}
    for more in [], ["--json"] if command not in NO_REPORT else []:
        done = CliRunner().invoke(main, [*command.split(), *arguments, *more], env=exported)
        assert done.exit_code == (3 if command == "lag" else 2), done.output
        if command == "lag":  # one line, as a monitoring plug-in has to
            assert (done.stderr if more else done.stdout).startswith(
                "REPLICATION UNKNOWN - The parameters are not usable"
            )
        else:
            assert "PGREPL_PG_VERSION: a major version" in done.stderr
        if (command, more) == ("run", ["--json"]):
            assert json.loads(done.stdout)["status"] == "not begun"
        else:
            assert done.stdout == "" or (command, more) == ("lag", [])
    assert not list(tmp_path.iterdir())


def wanted_arguments(command: str) -> int:
    found = dict(commands())[command]
    return sum(isinstance(p, click.Argument) and p.required for p in found.params)


def test_a_wrong_option_keeps_its_name_beside_a_wrong_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGREPL_PORT", "80")
    with pytest.raises(ParameterError) as caught:
        typed("--engine", "podman")
    assert [line.split(":")[0] for line in caught.value.looked_at] == ["engine", "PGREPL_PORT"]
    assert typed("--port", "7000") == {"port": "7000"}, "what is overridden may be wrong"


def test_our_variables_do_not_reach_compose_which_would_prefer_them_to_the_clusters_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compose = (Path(__file__).parents[2] / "docker-compose.yaml").read_text("utf-8")
    shared = [name for name in map(variable, Params.model_fields) if f"${{{name}:" in compose]
    assert shared == ["PGREPL_IMAGE", "PGREPL_NETWORK"]
    for name, value in OTHERS.items():
        monkeypatch.setenv(variable(name), value)
    assert not any(name.startswith("PGREPL_") for name in environment())
    assert environment({"PGREPL_IMAGE": "given"})["PGREPL_IMAGE"] == "given", (
        "what the engine itself gives stays"
    )


# --- what is said, and where ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted(words for words, _ in commands()))
def test_every_command_that_reports_has_json(command: str) -> None:
    options = {o for p in dict(commands())[command].params for o in p.opts}
    assert ("--json" in options) == (command not in NO_REPORT)


def test_a_result_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    output.give(True, {"folder": Path("/x"), "title": "✔ é"}, "text")
    out = capsys.readouterr().out
    assert json.loads(out) == {"folder": "/x", "title": "✔ é"} and out.isascii()
    output.give(False, {}, "text")
    assert capsys.readouterr().out == "text\n"


def test_what_is_held_back_is_told_when_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with output.held_back(True):
        print("well", file=sys.stderr)
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError), output.held_back(True):
        print("a step before", file=sys.stderr)
        raise ValueError
    assert capsys.readouterr().err == "a step before\n"
    with output.held_back(False):
        print("told", file=sys.stderr)
    assert capsys.readouterr().err == "told\n"


def test_a_terminal_without_our_characters_is_no_reason_to_fail() -> None:
    program = "from pgrepl_lib.cli.main import main\n@main.command()\ndef sign(): print('✔')\nmain(['sign'])"
    for encoding in ("ascii", "latin-1"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        assert (done.returncode, done.stdout) == (0, "?\n"), done.stderr


@pytest.mark.parametrize("folder", ["", "/nowhere", "/tmp"])
def test_what_a_chapter_imports_says_nothing_whatever_the_session_gives(folder: str) -> None:
    """XDG_RUNTIME_DIR is missing in containers and under cron, and somebody else's after `su`."""
    modules = "steps.cluster", "notebook.plot", "notebook.tables", "runner.kernel", "cli.main"
    program = "; ".join(f"import pgrepl_lib.{name}" for name in modules)
    kept = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**kept, **({"XDG_RUNTIME_DIR": folder} if folder else {})},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
