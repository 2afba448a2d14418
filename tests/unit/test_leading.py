"""What a leader sees: made of journals alone, whatever is in them."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner

from pgrepl_lib.cli.main import main
from pgrepl_lib.exercises.chapters.all import ALL
from pgrepl_lib.journal.audit import Journal
from pgrepl_lib.leading import pages, progress

FIRST = next(iter(ALL.values()))


def record(folder: Path, *events: str, name: str = FIRST.name) -> None:
    journal = Journal.of_project(folder)
    for event in events:
        passed = event == "right"
        said = {"right": "checked", "wrong": "checked"}.get(event, event)
        journal.record("exercise", name=name, event=said, cluster="c", passed=passed)


def cell(folder: Path, *, minutes: float = 1) -> progress.Cell:
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    (row,) = progress.look({"ana": folder}, stuck=15, now=now)
    return next(c for c in row.cells if c.exercise == FIRST.name)


def test_each_state_of_an_exercise(tmp_path: Path) -> None:
    assert cell(tmp_path).state == "new"
    record(tmp_path, "started", "hint", "wrong")
    assert (cell(tmp_path).state, cell(tmp_path).hints) == ("trying", 1)
    assert cell(tmp_path, minutes=16).state == "stuck"
    record(tmp_path, "right")
    assert cell(tmp_path, minutes=16).state == "right"
    record(tmp_path, "started", "solved", "right")
    assert cell(tmp_path).state == "solved"


def test_the_last_error_and_the_last_steps(tmp_path: Path) -> None:
    journal = Journal.of_project(tmp_path)
    journal.record("step", chapter="06-switchover", title="Do it", outcome="failed", commands=[])
    journal.record("step", chapter="06-switchover", title="Again", outcome="changed", commands=[])
    (row,) = progress.look({"ana": tmp_path}, stuck=15)
    assert row.error == "Do it: failed"
    assert list(row.steps) == ["Again: changed", "Do it: failed"]
    assert row.chapter == "06-switchover" and row.seen


def test_the_end_is_that_of_most_of_the_room(tmp_path: Path) -> None:
    for person in ("ana", "bia", "caio", "davi"):
        record(tmp_path / person, "started")
    folders = {each.name: each for each in tmp_path.iterdir()}
    rows = progress.look(folders, stuck=15)
    now = datetime.now(UTC)
    assert progress.chapter_of(rows) == FIRST.chapter
    count = sum(each.chapter == FIRST.chapter for each in ALL.values())
    end = progress.end_of(FIRST.chapter, rows, now)
    assert end and timedelta(0) < end - now <= timedelta(minutes=count * progress.USUAL)
    for each in (e.name for e in ALL.values() if e.chapter == FIRST.chapter):
        for person in folders.values():
            record(person, "started", "right", name=each)
    assert progress.end_of(FIRST.chapter, progress.look(folders, stuck=15), now) is None


def test_what_a_participant_writes_harms_nobody(tmp_path: Path) -> None:
    """A pipe would keep the leader waiting, and markup would be the leader's."""
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/journal.jsonl")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk/journal.jsonl").write_bytes(b"\x00\xff{]\n{}\n[1]\n")
    evil = "<script>alert(1)</script>"
    Journal.of_project(tmp_path / evil[:3]).record("step", title=evil, outcome="failed")
    rows = progress.look({each.name: each for each in tmp_path.iterdir()}, stuck=15)
    page = pages.page("Turma <b>", rows)
    assert "<script" not in page and "<b>" not in page
    assert "&lt;script&gt;" in page


def test_the_page_says_each_state_also_to_who_cannot_see_it(tmp_path: Path) -> None:
    record(tmp_path, "started")
    page = pages.page("Turma", progress.look({"ana": tmp_path}, stuck=15), again=3)
    assert re.search(r'<meta http-equiv="refresh" content="3">', page)
    assert '<th scope="row">' in page and "trying" in page


def test_journals_that_were_collected(tmp_path: Path) -> None:
    empty = CliRunner().invoke(main, ["class", "collect", str(tmp_path)])
    assert empty.exit_code == 2 and "journal.jsonl" in empty.stderr
    record(tmp_path / "ana", "started")
    seen = CliRunner().invoke(main, ["class", "collect", str(tmp_path)])
    assert seen.exit_code == 0 and "ana" in seen.stdout
    page = tmp_path / "room.html"
    assert (
        CliRunner().invoke(main, ["class", "collect", str(tmp_path), "--page", str(page)]).exit_code
        == 0
    )
    assert page.stat().st_mode & 0o777 == 0o600
