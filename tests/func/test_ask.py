"""`pgrepl run --ask` on a real terminal: nothing is done that nobody agreed to."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrepl_lib.journal import audit

from ..conftest import NewProject
from .running import words
from .terminal import SECONDS, Terminal
from .test_runner import Values, pgrepl, run_folder


@pytest.fixture(scope="module")
def values(new_project: NewProject) -> Iterator[Values]:
    with new_project() as made:
        yield made


def run_asking(values: Values, *more: str) -> Terminal:
    return Terminal([*words("run", values), "--ask", *more])


def steps(values: Values) -> list[tuple[str, str]]:
    return [
        (e["title"], e["outcome"])
        for e in audit.Journal(run_folder(values)).entries()
        if e["kind"] == "step"
    ]


def asked(text: str) -> str:
    """The title that a question names."""
    return re.split(r"\n  \$ |\n$", text.rpartition("\n\n")[2].lstrip("\n"))[0].strip()


def test_without_a_terminal_nothing_is_touched(values: Values) -> None:
    refused = pgrepl("run", values, "--ask", stdin=subprocess.DEVNULL)
    assert (
        refused.returncode == 2
        and "no terminal to ask on" in refused.stderr
        and "Traceback" not in refused.stderr
    )
    assert not (Path(values["workdir"]) / values["project"]).exists()


def test_ctrl_c_at_the_first_question_leaves_nothing_but_the_record(values: Values) -> None:
    terminal = run_asking(values)
    assert asked(terminal.question()) == "Preparar a pasta do cluster"
    terminal.answer("\x03")
    assert terminal.end() == 130
    assert steps(values) == [("Preparar a pasta do cluster", "interrupted")]
    assert not (Path(values["workdir"]) / values["project"] / "cluster.json").exists()


def test_yes_is_done_and_no_ends_the_run_there(values: Values) -> None:
    terminal = run_asking(values, "--to", "01")
    text = terminal.question()
    assert asked(text) == "Preparar a pasta do cluster" and "  $ mkdir -p " in text
    terminal.answer("perhaps\n")
    assert terminal.question().endswith("perhaps\n"), "asked again"
    terminal.answer("y\n")
    assert asked(terminal.question()) == "Criar as senhas em arquivos protegidos"
    terminal.answer("YES\n")
    text = terminal.question()
    assert (
        asked(text) == "Executar a instância temporária e esperar que aceite conexões"
        and "initdb" in text
    )
    terminal.answer("n\n")
    assert terminal.end() == 130
    assert (
        "run again: it goes on where it stopped (`pgrepl run --project" in terminal.shown
        and "Traceback" not in terminal.shown
    )
    assert [s for s in steps(values) if s[1] != "unchanged"] == [
        ("Preparar a pasta do cluster", "changed"),
        ("Criar as senhas em arquivos protegidos", "changed"),
        ("Executar a instância temporária e esperar que aceite conexões", "interrupted"),
    ]
    entries = list(audit.Journal(run_folder(values)).entries())
    assert (
        entries[-1]["status"] == "interrupted"
        and "recusado" in next(e for e in entries if "error" in e)["error"]
    )
    assert not (Path(values["workdir"]) / values["project"] / "data/pg_temp").exists()
    secret = (Path(values["workdir"]) / values["project"] / "secrets/superuser").read_text().strip()
    assert secret not in terminal.shown


def test_all_asks_no_more(values: Values) -> None:
    terminal = run_asking(values, "--to", "01")
    text = terminal.question()
    assert asked(text) == "Executar a instância temporária e esperar que aceite conexões", (
        "what is done is not asked for"
    )
    terminal.answer("a\n")
    assert terminal.end() == 0 and "completed: 11 steps changed" in terminal.shown, terminal.shown


def test_replicas_that_are_prepared_side_by_side_are_asked_for_before_any_is_begun(
    values: Values,
) -> None:
    values["replicas"] = "3"
    terminal, titles = run_asking(values, "--from", "02"), []
    while text := terminal.question():
        titles.append(asked(text))
        terminal.answer("n\n" if titles[-1] == "Preparar replica-3" else "sim\n")
    assert terminal.process.wait(SECONDS) == 130
    assert titles[-2:] == ["Preparar replica-2", "Preparar replica-3"]
    assert "+primary_conninfo" in terminal.shown, "edits are shown as diffs"
    assert steps(values)[-1] == ("Preparar replica-3", "interrupted")
    folder = Path(values["workdir"]) / values["project"]
    assert not list(folder.glob("data/*-2")) and not list(folder.glob("data/*_2")), (
        "nor was the one that was agreed to"
    )
