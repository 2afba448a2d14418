"""The rules of the house: one door each for processes, files, waiting and SQL; small modules; each room says what it is for."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib import errors
from pgrepl_lib.checks.checks import BESIDES, CHECKS, ON_REQUEST, SET_UP

LIBRARY = Path(__file__).parents[2] / "pgrepl_lib"
MODULES = {str(p.relative_to(LIBRARY)): p.read_text("utf-8") for p in sorted(LIBRARY.rglob("*.py"))}
MOST_LINES = 250
MOST_MODULES = 12  # in one room
Rule = Callable[[ast.AST], bool]


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute; what stands before a call or an index is shown as "?"."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def imported(node: ast.AST) -> list[str]:
    """The modules that an import names, relative ones with their dots."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        return [
            base,
            *(f"{base}{'' if base.endswith('.') else '.'}{alias.name}" for alias in node.names),
        ]
    return []


def imports(*names: str) -> Rule:
    """A node that imports one of these modules or a name out of them."""
    return lambda node: any(m == n or m.startswith(f"{n}.") for m in imported(node) for n in names)


def refers(pattern: str) -> Rule:
    """A name or attribute that matches."""
    return lambda node: (
        isinstance(node, (ast.Name, ast.Attribute)) and bool(re.fullmatch(pattern, dotted(node)))
    )


def opens_for_writing(node: ast.AST) -> bool:
    """`open`, `path.open` or `os.fdopen` with a mode that is not a literal for reading."""
    if not isinstance(node, ast.Call):
        return False
    name = dotted(node.func)
    if name in ("tarfile.open", "webbrowser.open") or not re.fullmatch(
        r"(.*\.)?(open|fdopen)", name
    ):
        return False
    if name == "os.open":
        return True
    place = (
        0 if isinstance(node.func, ast.Attribute) and name not in ("os.fdopen", "io.open") else 1
    )
    modes = [*node.args[place : place + 1], *(k.value for k in node.keywords if k.arg == "mode")]
    return any(
        not isinstance(m, ast.Constant) or bool(set(str(m.value)) & set("wax+")) for m in modes
    )


DOORS: dict[str, tuple[str, tuple[Rule, ...]]] = {
    "processes": (
        "doors/command.py",
        (
            imports("subprocess", "pty", "multiprocessing"),
            refers(r"os\.(exec\w+|system|popen|spawn\w+|posix_spawn\w*|fork\w*)"),
            refers(r"asyncio\.create_subprocess\w+"),
        ),
    ),
    "writing": (
        "doors/files.py",
        (opens_for_writing, refers(r".*\.(write_text|write_bytes)"), imports("tempfile")),
    ),
    "waiting": ("doors/wait.py", (imports("tenacity"), refers(r"(time|asyncio)\.sleep"))),
    "SQL": (
        "doors/db.py",
        (
            refers(r"psycopg\.connect|(psycopg\.)?\w*Connection\.connect"),
            refers(r"(\w*\.)?ConnectionPool"),
        ),
    ),
}
FROM_IMPORTS = {
    "processes": {"os.system", "os.popen", "os.execvpe"},
    "writing": set(),
    "waiting": {"time.sleep"},
    "SQL": {"psycopg.connect"},
}


def breaches(text: str, door: str) -> list[int]:
    """The lines of a module that go around a door."""
    rules = (*DOORS[door][1], lambda node: bool(FROM_IMPORTS[door] & set(imported(node))))
    nodes: list[Any] = [
        node for node in ast.walk(ast.parse(text)) if any(rule(node) for rule in rules)
    ]
    return sorted({node.lineno for node in nodes})


# Of the same doors: folders of one process, a program at work.
PARTS = {"runner/scratch.py": "writing", "doors/program.py": "processes"}
BESIDE_THE_DOOR = {"steps/ask.py": {"writing"}}  # it opens a terminal, which is no file


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("module", MODULES)
def test_only_the_door_does_it(module: str, door: str) -> None:
    found = breaches(MODULES[module], door)
    if door in (PARTS.get(module), *(d for d in DOORS if DOORS[d][0] == module)):
        assert found, f"{module} is no longer the door for {door}"
    elif door in BESIDE_THE_DOOR.get(module, ()):
        assert len(found) == 1, f"{module}, lines {found}: one place is registered"
    else:
        assert not found, f"{module}, lines {found}: {door} belongs into {DOORS[door][0]}"


@pytest.mark.parametrize(
    ("door", "code"),
    [
        ("processes", "import subprocess"),
        ("processes", "from subprocess import run"),
        ("processes", "os.execvpe('a', [], {})"),
        ("processes", "from os import system"),
        ("writing", "open('x', 'w')"),
        ("writing", "open('x', mode='ab')"),
        ("writing", "path.open('a', encoding='utf-8')"),
        ("writing", "open('x', how)"),
        ("writing", "os.fdopen(3, 'w')"),
        ("writing", "Path('x').write_text('y')"),
        ("writing", "f = path.write_bytes"),
        ("waiting", "import tenacity"),
        ("waiting", "time.sleep(1)"),
        ("waiting", "from time import sleep"),
        ("SQL", "psycopg.connect()"),
        ("SQL", "from psycopg import connect"),
        ("SQL", "psycopg.Connection.connect()"),
    ],
)
def test_a_breach_is_seen(door: str, code: str) -> None:
    assert breaches(f"def f():\n    {code}\n", door) == [2]


@pytest.mark.parametrize(
    "code",
    [
        "path.open('rb')",
        "path.open()",
        "open('w')",
        "open('x', 'r')",
        "tarfile.open(x)",
        "time.monotonic()",
        "psycopg.conninfo.make_conninfo()",
        "import psycopg",
    ],
)
def test_what_is_allowed_is_not_a_breach(code: str) -> None:
    assert [door for door in DOORS if breaches(code, door)] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_small(module: str) -> None:
    assert code_lines(MODULES[module]) <= MOST_LINES


def code_lines(text: str) -> int:
    """Lines that do something: without blank lines, comments and docstrings, which cost a reader nothing."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented) and ast.get_docstring(node) is not None
        for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    lines = enumerate(text.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and n not in docstrings
        for n, line in lines
    )


def runtime_imports(text: str) -> Iterator[str]:
    """What a module imports when it runs, also inside functions; not what only the type checker reads."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    for node in ast.walk(tree):
        yield from imported(node)


def test_no_class_leaves_a_method_to_its_heir() -> None:
    """What it calls is its own, or handed to it: a `Protocol` says what that can do."""
    assert [name for name, text in MODULES.items() if "NotImplementedError" in text] == []


def test_only_an_edit_is_typed_as_patch() -> None:
    """Else a step could show the command without its diff."""
    typed = [name for name, text in MODULES.items() if re.search(r"f?\"patch \{", text)]
    assert typed == ["engine/edit.py"]


def test_headless_use_does_not_pay_for_jupyterlab() -> None:
    heavy = {"jupyterlab", "notebook", "jupyter_server"}
    assert {
        m: f
        for m, text in MODULES.items()
        for f in runtime_imports(text)
        if f.split(".")[0] in heavy
    } == {}


ROOMS = [module for module in MODULES if module.endswith("/__init__.py")]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for_and_what_it_may_use(room: str) -> None:
    """Two sentences, and no code: what a room holds is imported from its modules."""
    (only,) = ast.parse(MODULES[room]).body
    said = ast.get_docstring(ast.parse(MODULES[room])) or ""
    assert isinstance(only, ast.Expr) and len(re.findall(r"\w\.(?:\s|$)", said)) >= 2


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_not_crowded(room: str) -> None:
    assert (
        sum(str(Path(module).parent) == str(Path(room).parent) for module in MODULES)
        <= MOST_MODULES + 1
    )


ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type)}


@pytest.mark.parametrize("module", MODULES)
def test_every_error_says_what_to_do(module: str) -> None:
    made = [n for n in ast.walk(ast.parse(MODULES[module])) if isinstance(n, ast.Call)]
    ours = [call for call in made if dotted(call.func) in ERRORS]
    mute = [call.lineno for call in ours if "remedy" not in [k.arg for k in call.keywords]]
    assert not mute, f"{module}, lines {mute}: an error without what to do"


def test_every_check_is_made_by_somebody() -> None:
    assert sorted((*SET_UP, *BESIDES, *ON_REQUEST)) == sorted(CHECKS)
