"""Our own commands in texts: each names its cluster and can be copied; all texts of the library are looked at."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pgrepl_lib.cli.main import main
from pgrepl_lib.params import Params, default_workdir
from pgrepl_lib.words.commands import addressed
from pgrepl_lib.words.verbs import COMMAND, VERBS
from tests.remedies import commands, commands_in

LIBRARY = Path(__file__).parents[2] / "pgrepl_lib"
ODD = Params.parse({"project": "demo", "workdir": "/tmp/my öffice", "engine": "local"})
OPTIONS = "--project demo -p workdir '/tmp/my öffice' --engine local"
# These hand their texts on to a check, whose texts are addressed where its outcome is made.
DOORS = {"addressed", "check", "security", "NotTried", "Difference"}
DOORS |= {"exercise", "Found", "answered", "claim", "streams", "all_stream"}  # of an exercise
# What stands in place of a value in the library's texts; else an instance's name.
PLACE = re.compile(r"\{(\w+)\}")
VALUES = {"begun['kind']": "switchover", "kind": "switchover", "count": "3", "lag": "3"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("pgrepl status", f"pgrepl status {OPTIONS}"),
        ("`pgrepl switchover --to replica`", f"`pgrepl switchover {OPTIONS} --to replica`"),
        (
            "first `pgrepl plan`, then `pgrepl run`",
            f"first `pgrepl plan {OPTIONS}`, then `pgrepl run {OPTIONS}`",
        ),
        (
            "refaça-a: pgrepl replica rebuild NOME",
            f"refaça-a: pgrepl replica rebuild {OPTIONS} NOME",
        ),
        ("pgrepl psql primary -- -c 'select 1'", f"pgrepl psql {OPTIONS} primary -- -c 'select 1'"),
        ("pgrepl runs lists them", f"pgrepl runs {OPTIONS} lists them"),
        ("pgrepl down --yes --project other", "pgrepl down --yes --project other"),
        ("pgrepl took it back; pgrepl-run; mypgrepl run; pgrepl guide",) * 2,
    ],
)
def test_a_command_names_its_cluster(text: str, wanted: str) -> None:
    assert addressed(text, ODD) == wanted
    assert addressed(addressed(text, ODD), ODD) == wanted


def test_only_what_is_not_the_default_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Params.parse({})
    assert addressed("pgrepl down --yes", usual) == "pgrepl down --yes"
    assert addressed("pgrepl down", Params.parse({"project": "x"})) == "pgrepl down --project x"
    assert (
        addressed("pgrepl down", usual, anywhere=True)
        == f"pgrepl down -p workdir {default_workdir()}"
    )
    monkeypatch.setenv("PGREPL_PROJECT", "another")  # where the command will be typed
    monkeypatch.setenv("PGREPL_WORKDIR", "/another")
    assert (
        addressed("pgrepl down", usual)
        == f"pgrepl down --project pgrepl -p workdir {default_workdir()}"
    )


def test_a_command_is_addressed_to_the_project_of_a_folder() -> None:
    assert (
        addressed("pgrepl runs", Params.of_folder(Path("/tmp/a b/demo")))
        == "pgrepl runs --project demo -p workdir '/tmp/a b'"
    )


def test_the_verbs_are_those_of_the_command_line() -> None:
    finding = {
        name for name, command in commands(main) if any(p.name == "project" for p in command.params)
    }
    assert finding == set(VERBS)


# --- all texts of the library -----------------------------------------------------------------------------


def called(node: ast.Call) -> str:
    """The last word of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def spoken(tree: ast.AST) -> Iterator[ast.expr]:
    """Every text that names one of our commands, but docstrings and what --help shows."""
    if isinstance(tree, ast.Call) and called(tree) in ("option", "argument"):
        return
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, (ast.JoinedStr, ast.Constant)):
            if COMMAND.search(said(child)):
                yield child
        else:
            yield from spoken(child)


def _example(place: re.Match[str]) -> str:
    return VALUES.get(place[1], "replica")


def said(node: ast.expr) -> str:
    """The text, with an example in place of each value."""
    if isinstance(node, ast.Constant):
        return PLACE.sub(_example, str(node.value))
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(
        VALUES.get(ast.unparse(p.value), "replica")
        if isinstance(p, ast.FormattedValue)
        else said(p)
        for p in parts
    )


def through_the_door(scope: ast.AST) -> set[ast.AST]:
    """Every part of what is handed to a door, by way of names, too."""
    found = {
        part
        for c in ast.walk(scope)
        if isinstance(c, ast.Call) and called(c) in DOORS
        for part in ast.walk(c)
    }
    given = [
        n
        for n in ast.walk(scope)
        if isinstance(n, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr))
    ]
    while True:
        names = {n.id for n in found if isinstance(n, ast.Name)}
        more = {part for a in given if targets(a) & names for part in ast.walk(a)} - found
        if not more:
            return found
        found |= more


def targets(node: ast.AST) -> set[str]:
    """The names that are assigned to."""
    aims = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]
    return {aim.id for aim in aims if isinstance(aim, ast.Name)}


MODULES = {
    str(p.relative_to(LIBRARY)): ast.parse(p.read_text("utf-8"))
    for p in sorted(LIBRARY.rglob("*.py"))
}
WITHOUT_DOOR = ("words/commands.py",)  # the door itself
TEXTS = [
    (name, text)
    for name, tree in MODULES.items()
    for text in spoken(tree)
    if name not in WITHOUT_DOOR
]


@pytest.mark.parametrize("module", sorted({name for name, _ in TEXTS}))
def test_every_command_that_the_library_names_goes_through_the_door(module: str) -> None:
    tree = MODULES[module]
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    asked = {
        called(n) for n in through_the_door(tree) if isinstance(n, ast.Call)
    }  # for what they return
    for text in (t for name, t in TEXTS if name == module):
        around = [f for f in functions if f.lineno <= text.lineno <= (f.end_lineno or 0)]
        if not (around and around[-1].name in asked):
            scope = around[-1] if around else tree
            assert text in through_the_door(scope), f"{module}:{text.lineno}: {said(text)}"


@pytest.mark.parametrize(("module", "text"), TEXTS, ids=[f"{n}:{t.lineno}" for n, t in TEXTS])
def test_every_command_that_the_library_names_can_be_copied(module: str, text: ast.expr) -> None:
    told = addressed(said(text), ODD)
    found = [told] if told.startswith("pgrepl ") else commands_in(told)
    finding = [command for command in found if COMMAND.match(command)]
    assert len(finding) == len(COMMAND.findall(told)), f"each stands in backticks: {told}"
    for command in found:
        parse(command)


def test_templates_name_no_command() -> None:
    named = {"report.html.j2": ["report"], "guide.md.j2": ["down"]}  # the second of its one cluster
    for template in (LIBRARY / "evidence/templates").iterdir():
        found = COMMAND.findall(template.read_text("utf-8"))
        assert found == named.get(template.name, []), template


def parse(line: str) -> None:
    """A line that somebody copied, read as the shell and the command line read it; nothing is executed."""
    words = shlex.split(line)
    assert words.pop(0) == "pgrepl"
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    given = command.make_context("pgrepl", words).params
    if "project" in given:
        assert given["project"] == ODD.project and given["engine"] == ODD.engine
        assert dict(given["given"])["workdir"] == str(ODD.workdir)
