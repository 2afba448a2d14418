"""Journals made for a test: lines with the times that it wants, chained as the library chains them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pgrepl_lib.journal.audit import FILE, ORIGIN
from pgrepl_lib.journal.runs import Run

BEGAN = datetime(2026, 11, 23, 20, 0, 0, tzinfo=UTC)
Line = dict[str, Any]
DIFF = """--- primary/postgresql.conf
+++ primary/postgresql.conf
@@ -1,2 +1,2 @@
 # before
-wal_level = minimal
+wal_level = replica
"""
SET_UP = ("00-preparacao", "01-instancia-primaria", "02-instancia-replica", "03-verificacao")


def at(seconds: float, kind: str, /, **facts: Any) -> Line:
    """A line so many seconds after the beginning."""
    return {
        "time": (BEGAN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds"),
        "kind": kind,
        **facts,
    }


def begun(*chapters: str, **more: Any) -> Line:
    params = {
        "project": "demo",
        "engine": "local",
        "pg_version": 14,
        "replicas": 1,
        "settings": {"work_mem": "8MB"},
    }
    return at(
        0,
        "run",
        **{
            "chapters": list(chapters or SET_UP),
            "params": params,
            "pid": 4242,
            "user": "ana",
            "host": "lab-1",
            "platform": "Linux",
            "python": "3.11.7",
            "local_time": "2026-11-23T17:00:00-03:00",
            "packages": {"pgrepl": "0.1.0"},
            "repository": {"commit": "0123abc", "clean": True},
            **more,
        },
    )


def engine(seconds: float = 0.5) -> Line:
    facts = {"engine": "local", "postgres": "14.23", "checksum": "sha256:feed"}
    return at(
        seconds,
        "engine",
        chapter=SET_UP[0],
        why="asked for",
        facts=facts,
        port={"primary": 15432, "replica": 15433},
    )


def chapter(seconds: float, name: str, status: str = "running", **more: Any) -> Line:
    return at(seconds, "chapter", chapter=name, status=status, **more)


def step(
    seconds: float,
    name: str,
    title: str,
    outcome: str = "changed",
    *,
    took: float = 0.5,
    **more: Any,
) -> Line:
    made = {
        "cell": "senha",
        "commands": [{"command": f"true --{title}", "exit_code": 0, "output": "done"}],
        "diff": "",
        "adds": "",
        "exit_code": 0,
        "seconds": took,
    }
    return at(seconds, "step", chapter=name, title=title, outcome=outcome, **{**made, **more})


def check(seconds: float, name: str, title: str, passed: bool = True, **more: Any) -> Line:
    made = {
        "cell": "verifica",
        "name": "streaming",
        "expected": "replica-1: streaming",
        "seen": "replica-1: streaming" if passed else "no row",
        "hint": "veja o log da **réplica**",
        "seconds": 0.1,
    }
    return at(seconds, "check", chapter=name, title=title, passed=passed, **{**made, **more})


def completed() -> list[Line]:
    """A whole run: two chapters with steps, an edit done and one that already was, checks, the state, the end."""
    first, second = SET_UP[:2]
    return [
        begun(first, second),
        chapter(0.1, first),
        step(0.4, first, "Preparar a pasta", took=0.2, cell="pasta"),
        engine(),
        chapter(0.6, first, "completed"),
        chapter(0.6, second),
        step(2.0, second, "Criar a senha", took=1.2),
        step(
            2.5,
            second,
            "Configurar a replicação",
            diff=DIFF,
            adds=DIFF,
            cell="edicao-postgresql-conf",
        ),
        step(
            2.6,
            second,
            "Permitir a replicação",
            "unchanged",
            took=0.01,
            adds=DIFF.replace("postgresql", "pg_hba"),
        ),
        check(2.8, second, "A primária aceita escritas"),
        check(3.0, second, "A réplica está em streaming"),
        chapter(3.1, second, "completed"),
        at(
            3.2,
            "state",
            instances={
                "primary": {"role": "primary", "upstream": None, "port": 15432, "running": True},
                "replica": {
                    "role": "replica",
                    "upstream": "primary",
                    "port": 15433,
                    "running": True,
                },
            },
        ),
        at(3.3, "end", status="completed"),
    ]


def stopped(status: str, *last: Line, error: str = "") -> list[Line]:
    """A run that stopped in its second chapter after these lines; "killed" leaves no end."""
    lines = [begun(), *completed()[1:7], *last]
    ended = {
        "failed": [chapter(5, SET_UP[1], "failed", error=error)],
        "interrupted": [chapter(5, SET_UP[1], "interrupted")],
    }
    return [
        *lines,
        *ended.get(status, []),
        *([] if status == "killed" else [at(5, "end", status=status)]),
    ]


def journal(folder: Path, lines: list[Line]) -> Run:
    """A run with these lines."""
    folder.mkdir(parents=True, exist_ok=True)
    before, text = ORIGIN, b""
    for line in lines:
        stored = json.dumps({**line, "previous": before}).encode()
        before, text = hashlib.sha256(stored).hexdigest(), text + stored + b"\n"
    (folder / FILE).write_bytes(text)
    return Run(folder)
