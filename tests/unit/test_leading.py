"""What a leader sees: made of journals alone, whatever is in them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pgrepl_lib.cli.main import main
from pgrepl_lib.evidence.signing import keys
from pgrepl_lib.exercises.chapters.all import ALL
from pgrepl_lib.journal.audit import Journal
from pgrepl_lib.leading import completion, pages, progress

FIRST = next(iter(ALL.values()))


def typed(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


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
    record(tmp_path, "started", "solved")
    assert cell(tmp_path, minutes=16).state == "solved", "who skips it is not stuck"
    record(tmp_path, "right")
    assert cell(tmp_path).state == "solved"


def test_the_last_error_and_the_last_steps(tmp_path: Path) -> None:
    journal = Journal.of_project(tmp_path)
    journal.record("step", chapter="06-switchover", title="Do it", outcome="failed", commands=[])
    journal.record("step", chapter="06-switchover", title="Again", outcome="changed", commands=[])
    record(tmp_path, "started", "wrong")
    (row,) = progress.look({"ana": tmp_path}, stuck=15)
    assert row.steps[0].endswith(": not yet") and row.steps[1].endswith(": begun")
    assert row.error == "Do it: failed"
    assert list(row.steps[2:]) == ["Again: changed", "Do it: failed"]
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
    assert 'data-seconds="3"' in page and 'http-equiv="refresh' not in page, "it can be paused"
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


def test_a_statement_of_completion_is_signed_and_says_what_the_journal_tells(
    tmp_path: Path,
) -> None:
    room, out, key = tmp_path / "room", tmp_path / "out", tmp_path / "key.pem"
    record(room / "ana", "started", "hint", "right")
    key.write_bytes(new_key())
    key.chmod(0o600)
    made = typed("class", "certify", room, "--out", out, "--key", key)
    assert made.exit_code == 0, made.output
    file, public = out / f"ana{completion.SUFFIX}", out / "signer.pub"
    seen = typed("verify", file, "--key", public)
    assert seen.exit_code == 0 and "ana" in seen.stdout and "1 of" in seen.stdout
    found = completion.verify(file, public).completion
    assert found and found["exercises"][0]["hints"] == 1

    changed = tmp_path / "ana.json"
    changed.write_text(file.read_text().replace('"sig": "', '"sig": "A', 1))
    assert typed("verify", changed, "--key", public).exit_code == 1
    (tmp_path / "other.pub").write_text(keys.pem(keys.signer(None).public_key))
    assert typed("verify", file, "--key", tmp_path / "other.pub").exit_code == 1


def test_a_journal_that_was_changed_is_not_certified(tmp_path: Path) -> None:
    record(tmp_path / "ana", "started", "wrong", "wrong")
    journal = tmp_path / "ana/journal.jsonl"
    journal.write_text(journal.read_text().replace("false", "true", 1))
    done = typed("class", "certify", tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 1 and "ana" in done.output and not (tmp_path / "out").exists()
