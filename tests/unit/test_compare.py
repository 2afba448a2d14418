"""What `pgrepl diff` finds between two runs; each thing that can differ does so once here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pgrepl_lib.cli.main import main
from pgrepl_lib.journal import compare
from pgrepl_lib.journal.compare import NOTED, Difference
from pgrepl_lib.journal.runs import Run

from .. import journals
from ..journals import SET_UP, Line

SECOND = SET_UP[1]
EDIT = f"{SECOND}: Configurar a replicação"


def found(
    folder: Path, change: Callable[[list[Line]], object], kind: str = "completed"
) -> list[Difference]:
    """The differences between a run and one that was changed so."""
    old, new = (
        journals.completed() if kind == "completed" else journals.stopped(kind) for _ in range(2)
    )
    change(new)
    return compare.compare(
        journals.journal(folder / "old", old), journals.journal(folder / "new", new)
    )


def line(lines: list[Line], kind: str, number: int = 0) -> Line:
    return [entry for entry in lines if entry["kind"] == kind][number]


def test_the_same_run_twice_does_not_differ(tmp_path: Path) -> None:
    runs = [journals.journal(tmp_path / name, journals.completed()) for name in ("a", "b")]
    assert compare.compare(*runs) == []
    assert compare.text(*runs, []).splitlines() == [
        "--- a (project demo, completed)",
        "+++ b (project demo, completed)",
        "nothing differs: 4 steps, 2 checks",
    ]


CHANGES: list[tuple[Callable[[list[Line]], object], list[tuple[str, str, Any, Any]]]] = [
    (lambda n: line(n, "run")["params"].update(replicas=2), [("parameters", "replicas", 1, 2)]),
    (
        lambda n: line(n, "run")["params"]["settings"].clear(),
        [("parameters", "settings.work_mem", "8MB", None)],
    ),
    (lambda n: line(n, "run").update(user="rui"), [("versions", "user", "ana", "rui")]),
    (
        lambda n: line(n, "run")["packages"].update(pandas="3.0"),
        [("versions", "packages.pandas", None, "3.0")],
    ),
    (
        lambda n: line(n, "run")["repository"].update(clean=False),
        [("versions", "repository.clean", True, False)],
    ),
    (
        lambda n: line(n, "engine")["facts"].update(postgres="14.24"),
        [("versions", "engine.postgres", "14.23", "14.24")],
    ),
    (
        lambda n: line(n, "chapter", 1).update(status="failed"),
        [("chapters", SET_UP[0], "completed", "failed")],
    ),
    (
        lambda n: n.remove(line(n, "step", 1)),
        [("steps", f"{SECOND}: Criar a senha", "changed", None)],
    ),
    (
        lambda n: n.insert(2, journals.step(0.3, SET_UP[0], "Outro")),
        [("steps", f"{SET_UP[0]}: Outro", None, "changed")],
    ),
    (
        lambda n: line(n, "step").update(outcome="unchanged"),
        [("steps", f"{SET_UP[0]}: Preparar a pasta, outcome", "changed", "unchanged")],
    ),
    (
        lambda n: line(n, "step")["commands"].append({"command": "sync"}),
        [
            (
                "steps",
                f"{SET_UP[0]}: Preparar a pasta, commands",
                "true --Preparar a pasta",
                "true --Preparar a pasta\nsync",
            )
        ],
    ),
    (lambda n: line(n, "step", 2).update(adds=""), []),
    (
        lambda n: line(n, "step", 2).update(adds="--- f\n+++ f\n+x = 1\n"),
        [("steps", f"{EDIT}, edit", journals.DIFF, "--- f\n+++ f\n+x = 1\n")],
    ),
    (
        lambda n: line(n, "check").update(passed=False),
        [("checks", f"{SECOND}: A primária aceita escritas, verdict", "passed", "failed")],
    ),
    (
        lambda n: line(n, "check").update(tried=False),
        [("checks", f"{SECOND}: A primária aceita escritas, verdict", "passed", "not tried")],
    ),
    (
        lambda n: line(n, "check").update(seen="other"),
        [
            (
                "checks",
                f"{SECOND}: A primária aceita escritas, seen",
                "replica-1: streaming",
                "other",
            )
        ],
    ),
    (
        lambda n: n.remove(line(n, "check", 1)),
        [("checks", f"{SECOND}: A réplica está em streaming", "passed", None)],
    ),
    (
        lambda n: line(n, "state")["instances"]["replica"].update(upstream="replica-2"),
        [("settings", "replica.upstream", "primary", "replica-2")],
    ),
    (
        lambda n: line(n, "state").update(files={".env": "0" * 64}),
        [("settings", "files..env", None, "0" * 64)],
    ),
    (
        lambda n: n.insert(8, n.pop(6)),
        [("steps", "order, from here on", f"{SECOND}: Criar a senha", EDIT)],
    ),
    (lambda n: n.insert(7, n[6]), [("steps", f"{SECOND}: Criar a senha (2)", None, "changed")]),
    (lambda n: line(n, "end").update(status="failed"), [("run", "status", "completed", "failed")]),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_each_difference_is_found_alone(tmp_path: Path, number: int) -> None:
    change, expected = CHANGES[number]
    differences = found(tmp_path, change)
    assert [(d.group, d.name, d.old, d.new) for d in differences] == expected
    assert compare.differs(differences) is bool(expected)
    assert all(
        d.name in compare.text(Run(tmp_path / "old"), Run(tmp_path / "new"), differences)
        for d in differences
    )


@pytest.mark.parametrize(
    ("seconds", "noted"),
    [(1.3, False), (2.1, False), (2.3, False), (2.5, True), (0.1, True), ("?", True)],
)
def test_a_duration_is_noted_and_is_no_difference(
    tmp_path: Path, seconds: Any, noted: bool
) -> None:
    """1.2 s at first: more than twice as long, or less than half, and by more than a second."""
    differences = found(tmp_path, lambda n: line(n, "step", 1).update(seconds=seconds))
    assert [d.group for d in differences] == [NOTED] * noted and not compare.differs(differences)
    assert "nothing differs" in compare.text(
        Run(tmp_path / "old"), Run(tmp_path / "new"), differences
    )


def test_what_a_step_that_ended_otherwise_took_is_not_compared(tmp_path: Path) -> None:
    differences = found(
        tmp_path, lambda n: line(n, "step", 1).update(seconds=0, outcome="unchanged")
    )
    assert [d.group for d in differences] == ["steps"]


def test_killed_runs_are_compared_by_what_their_edits_add(tmp_path: Path) -> None:
    edit = journals.DIFF + "+work_mem = '8MB'\n"
    differences = found(
        tmp_path,
        lambda n: n.append(journals.step(3, SECOND, "Configurar", diff=edit, adds=edit)),
        "killed",
    )
    assert [(d.group, d.name, d.new) for d in differences] == [
        ("steps", f"{SECOND}: Configurar", "changed"),
        ("settings", "primary/postgresql.conf: wal_level", "replica"),
        ("settings", "primary/postgresql.conf: work_mem", "'8MB'"),
    ]


RULE = """--- primary/pg_hba.conf
+++ primary/pg_hba.conf
@@ -1,2 +1,3 @@
+host    replication     repl            {network}            {method}
"""


def test_edits_are_told_of_the_file_that_they_are_in(tmp_path: Path) -> None:
    def change(lines: list[Line]) -> None:
        edits = (
            journals.DIFF
            + RULE.format(network="10.1.2.0/24", method="trust")
            + journals.DIFF.replace("primary/", "replica/")
        )
        lines.append(journals.step(3, SECOND, "Configurar", adds=edits))

    edited = [(d.name, d.new) for d in found(tmp_path, change, "killed") if d.group == "settings"]
    assert edited == [
        ("primary/postgresql.conf: wal_level", "replica"),
        ("primary/pg_hba.conf: host replication repl 10.1.2.0/24", "trust"),
        ("replica/postgresql.conf: wal_level", "replica"),
    ]


def project(folder: Path, name: str, port: int, network: str, method: str = "trust") -> Run:
    """A run whose commands, edits and checks name what is this project's own, as those on Docker and local do."""
    lines = journals.completed()
    line(lines, "run")["params"].update(project=name, workdir="/srv", network=network)
    line(lines, "engine").update(port={"primary": port, "replica": port + 1})
    temporary = "pg_temp" if name == "pgrepl" else f"{name}_pg_temp"
    commands = [
        f"mkdir -p /srv/{name}/data",
        f"docker container run --name {temporary} --shm-size 150000 pgrepl-image:14",
        f"cat > .env <<'END'\nCOMPOSE_PROJECT_NAME={name}\nPGREPL_NETWORK={network}\nPGREPL_PRIMARY_PORT={port}\nEND",
        f"docker container cp {temporary}:/data/pg_hba.conf primary/",
        f"pg_ctl -D data/primary -o '--port={port}' start",
    ]
    line(lines, "step")["commands"] = [{"command": c} for c in commands]
    line(lines, "step", 2)["adds"] = (
        f"{journals.DIFF}+primary_conninfo = 'host=127.0.0.1 port={port}'\n"
        f"{RULE.format(network=network, method=method)}"
    )
    line(lines, "check")["seen"] = f"streaming, 127.0.0.1:{port}, replica_1_slot"
    line(lines, "state")["instances"] = {}
    return journals.journal(folder / f"{name}-{method}", lines)


@pytest.mark.parametrize(
    ("one", "other"), [("pgrepl", "other"), ("one", "other"), ("one", "one-more")]
)
def test_two_projects_differ_in_their_name_and_not_in_each_command(
    tmp_path: Path, one: str, other: str
) -> None:
    runs = (
        project(tmp_path, one, 15000, "10.1.2.0/24"),
        project(tmp_path, other, 16000, "10.1.3.0/24"),
    )
    assert [d.name for d in compare.compare(*runs)] == ["project", "network"]
    changed = project(tmp_path, other, 16000, "10.1.3.0/24", "scram-sha-256")
    assert [d.name for d in compare.compare(runs[0], changed)] == [
        "project",
        "network",
        f"{EDIT}, edit",
    ]


def test_long_values_are_shown_as_a_diff_and_nothing_steers_the_terminal(tmp_path: Path) -> None:
    def change(lines: list[Line]) -> None:
        line(lines, "step", 2)["adds"] = journals.DIFF.replace("replica", "logical")
        line(lines, "check")["seen"] = "\x1b[2Jgone"

    shown = "\n".join(map(str, found(tmp_path, change)))
    assert "    -+wal_level = replica\n    ++wal_level = logical" in shown and "\x1b" not in shown


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"kind": "end"}],
        [{"kind": "run", "chapters": [], "params": 7, "packages": []}],
        [{"kind": "step"}],
        [{"kind": "step", "commands": 7, "adds": 7, "seconds": []}],
        [{"kind": "check", "seen": {}}],
        [{"kind": "state"}],
        [{"kind": "state", "instances": []}],
        [{"kind": "engine", "facts": "x"}],
        [{"kind": "step", "commands": [7, None]}],
    ],
)
def test_a_journal_that_tells_little_is_compared_too(tmp_path: Path, lines: list[Line]) -> None:
    whole, odd = (
        journals.journal(tmp_path / "a", journals.completed()),
        journals.journal(tmp_path / "b", lines),
    )
    tells = lines in ([{"kind": "step"}], [{"kind": "check", "seen": {}}])
    for old, new in ((whole, odd), (odd, whole), (odd, odd)):
        differences = compare.compare(old, new)
        assert compare.differs(differences) is (old != new or not tells), (
            "two that say nothing are not the same"
        )
        assert ("nothing differs" in compare.text(old, new, differences)) is (old == new and tells)


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\xff\n{}\n", b"x"])
def test_two_journals_that_are_none_are_not_called_the_same(tmp_path: Path, content: bytes) -> None:
    runs = [journals.journal(tmp_path / name, []) for name in ("a", "b")]
    for run in runs:
        run.journal.path.write_bytes(content)
    differences = compare.compare(*runs)
    assert compare.differs(differences) and {d.group for d in differences} == {"journal"}


def test_the_command_compares_and_exits_as_git_diff_does(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        lines = journals.completed()
        line(lines, "run")["params"]["replicas"] = 2 if name == "c" else 1
        journals.journal(tmp_path / "demo/runs" / name, lines)
    demo = ["--project", "demo", "-p", "workdir", str(tmp_path)]

    def diff(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["diff", *demo, *words])
        return done.exit_code, done.stdout

    assert diff("a", "b", "--exit-code")[0] == diff("a", "c")[0] == 0
    code, said = diff("a", str(tmp_path / "demo/runs/c"), "--exit-code")
    assert code == 1 and "parameters\n    replicas: 1 → 2" in said
    told = json.loads(diff("a", "c", "--json")[1])
    assert told["differs"] and told["differences"] == [
        {"group": "parameters", "name": "replicas", "old": 1, "new": 2}
    ]
    assert diff("a")[0] == diff("a", "nothing")[0] == 2


@pytest.mark.parametrize("asked_first", [True, False])
def test_what_a_server_gave_no_answer_about_is_unknown_and_not_gone(
    tmp_path: Path, asked_first: bool
) -> None:
    found = dict[str, Run]()
    for name, user in {"known": {"rolsuper": False, "password": True}, "unknown": None}.items():
        lines = journals.completed()
        line(lines, "state")["replication_user"] = user
        found[name] = journals.journal(tmp_path / name, lines)
    runs = [found["known"], found["unknown"]]
    told = [None, "unknown"]
    if not asked_first:
        runs, told = runs[::-1], told[::-1]
    differences = compare.compare(*runs)
    assert [(d.group, d.name, d.old, d.new) for d in differences] == [
        ("settings", "replication_user", *told)
    ]
    assert compare.compare(found["unknown"], found["unknown"]) == []


def retold(lines: list[Line]) -> list[Line]:
    """As another version records the same: other titles, with what they are in any language, and other answers."""
    for entry in lines:
        if entry["kind"] in ("step", "check"):
            entry["title"] = f"Hoje: {entry['title']}"
            entry["said"] = {"title": {"message": entry["title"]}}
        if entry["kind"] == "check":
            entry["seen"] = "streaming"
    return lines


@pytest.mark.parametrize("earlier_first", [True, False])
def test_a_run_of_an_earlier_version_is_compared_by_what_was_done(
    tmp_path: Path, earlier_first: bool
) -> None:
    """Its titles were recorded in one language, and were others; what it saw, it said otherwise."""
    today = retold(journals.completed())
    line(today, "step", 1)["outcome"] = "unchanged"
    earlier = journals.journal(tmp_path / "earlier", journals.completed())
    runs = [earlier, journals.journal(tmp_path / "today", today)]
    told = [("changed", "unchanged"), ("unchanged", "changed")][not earlier_first]
    found = compare.compare(*(runs if earlier_first else reversed(runs)))
    assert [(d.group, d.name, d.old, d.new) for d in found] == [
        ("steps", f"{SECOND}: Hoje: Criar a senha, outcome", *told)
    ]


def test_what_only_one_version_does_is_told_as_such(tmp_path: Path) -> None:
    """Two steps of a cell that were one before are no step by another name."""
    today = retold(journals.completed())
    today.insert(3, journals.step(0.4, SET_UP[0], "Outro", cell="pasta", said={}))
    runs = (
        journals.journal(tmp_path / "earlier", journals.completed()),
        journals.journal(tmp_path / "today", today),
    )
    found = compare.compare(*runs)
    assert {(d.name.partition(": ")[2], d.old is None) for d in found} == {
        ("Preparar a pasta", False),
        ("Hoje: Preparar a pasta", True),
        ("Outro", True),
    }
