"""nbval over all chapters, on a new cluster of an engine, against the same stored outputs; a file for each engine."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

from pgrepl_lib import open_cluster
from pgrepl_lib.journal import audit
from pgrepl_lib.journal.chapter import OPERATE, SET_UP
from pgrepl_lib.journal.records import MEANT_TO_FAIL
from pgrepl_lib.runner.plan import plan

from ..conftest import IMAGE
from ..func.operated import everything_recorded
from .chapters import CHAPTERS, prepared
from .planned import assert_is_done

SANITIZE = Path(__file__).with_name("sanitize.cfg")


def parameters(engine: str, workdir: Path, network: str, port: int) -> dict[str, Any]:
    image = {"image": IMAGE} if engine == "docker" else {}
    return {
        "project": f"nb{secrets.token_hex(3)}",
        "engine": engine,
        "workdir": str(workdir),
        "network": network,
        "port": port,
        **image,
    }


def stored_outputs_are_what_happens(given: dict[str, Any], tmp_path: Path) -> None:
    try:
        compare(given, tmp_path)
    finally:
        open_cluster("", **given).remove(confirm=True)


def compare(parameters: dict[str, Any], tmp_path: Path) -> None:
    copies = [prepared(chapter, tmp_path, parameters) for chapter in CHAPTERS]
    assert [*SET_UP, *OPERATE] == list(CHAPTERS[:-1]), "a chapter needs the ones before it"
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    folder = Path(parameters["workdir"]) / parameters["project"]
    from_nothing = plan(parameters, CHAPTERS[:-1])
    assert not folder.exists(), "a plan touches nothing"
    passed = execute(copies[:4], tmp_path)
    before = everything_recorded(open_cluster("", **parameters))
    set_up = plan(parameters, CHAPTERS[4:-1])
    assert everything_recorded(open_cluster("", **parameters)) == before
    passed += execute(copies[4:], tmp_path)
    journal = audit.Journal.of_project(folder)
    failed = {(e["title"], e["outcome"]) for e in journal.entries() if e.get("error")}
    assert failed == {("Refazer replica-2", MEANT_TO_FAIL)}
    cells = sum(c.cell_type == "code" for p in copies for c in nbformat.read(p, 4).cells)
    assert passed == cells
    entries = list(journal.entries())
    assert_is_done(from_nothing, [e for e in entries if e.get("chapter") in CHAPTERS[:-1]])
    assert_is_done(set_up, [e for e in entries if e.get("chapter") in CHAPTERS[4:-1]])


def execute(chapters: list[Path], tmp_path: Path) -> int:
    """Returns how many cells passed; none fails."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval",
            "--nbval-sanitize-with",
            str(SANITIZE),
            "-q",
            "-x",
            *map(str, chapters),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"\b(\d+) passed", done.stdout)
    assert found, done.stdout[-500:]
    return int(found[1])
