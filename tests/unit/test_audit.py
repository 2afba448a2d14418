"""The journal: what is recorded, and that its hash chain shows every change but one to the last line."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import tracemalloc
from pathlib import Path

import pytest

from pgrepl_lib.doors.files import BLOCK, last_line
from pgrepl_lib.journal import pieces, runs
from pgrepl_lib.journal.audit import NOT_CHAINED, ORIGIN, RUN_FOLDER, Journal
from pgrepl_lib.words.redact import MASK, register


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Four lines, with text that is not ASCII."""
    made = Journal(tmp_path / "run")
    for number in range(4):
        made.record("step", number=number, title="Cópia de segurança", commands=["cp 'a' b"])
    return made


def rewritten(journal: Journal, content: bytes) -> int | None:
    journal.path.write_bytes(content)
    return journal.first_broken_line()


def test_a_line_has_time_kind_facts_and_the_hash_of_the_line_before(journal: Journal) -> None:
    first, second, *_ = entries = list(journal.entries())
    assert [e["number"] for e in entries] == [0, 1, 2, 3]
    assert list(first) == ["time", "kind", "number", "title", "commands", "previous"]
    assert first["time"].endswith("+00:00") and first["previous"] == ORIGIN
    assert len(second["previous"]) == 64 and second["previous"] != ORIGIN
    assert journal.first_broken_line() is None


def test_an_absent_or_empty_journal_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert list(journal.entries()) == [] and journal.first_broken_line() is None
    journal.path.touch()
    assert list(journal.entries()) == [] and journal.first_broken_line() is None


def test_every_flipped_bit_before_the_last_line_is_found(journal: Journal) -> None:
    content = journal.path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    missed = []
    for at, bit in itertools.product(range(last), range(8)):
        changed = bytearray(content)
        changed[at] ^= 1 << bit
        number = content.count(b"\n", 0, at) + 1
        found = rewritten(journal, bytes(changed))
        if found not in (number, number + 1):
            missed.append((at, bit, content[at : at + 1], found))
    assert missed == []


def test_the_last_lines_facts_cannot_be_protected_but_its_link_can(journal: Journal) -> None:
    """No later line holds its hash: whoever keeps the hash of the last line elsewhere closes this gap."""
    content = journal.path.read_bytes()
    assert rewritten(journal, content.replace(b'"number": 3', b'"number": 4')) is None
    previous = json.loads(content.splitlines()[-1])["previous"].encode()
    assert rewritten(journal, content.replace(previous, previous[::-1])) == 4


def test_every_dropped_line_but_the_last_is_found(journal: Journal) -> None:
    lines = journal.path.read_bytes().splitlines(keepends=True)
    for dropped in range(3):
        assert rewritten(journal, b"".join(lines[:dropped] + lines[dropped + 1 :])) == dropped + 1
    assert (
        rewritten(journal, b"".join(lines[:3])) is None
    )  # the end can be cut off: nothing points at it


def test_every_other_order_is_found(journal: Journal) -> None:
    lines = journal.path.read_bytes().splitlines(keepends=True)
    for order in itertools.permutations(range(4)):
        found = rewritten(journal, b"".join(lines[i] for i in order))
        wrong = [place for place, line in enumerate(order, 1) if place != line + 1]
        assert found == (wrong[0] if wrong else None)


def test_a_doubled_and_an_inserted_line_are_found(journal: Journal) -> None:
    lines = journal.path.read_bytes().splitlines(keepends=True)
    assert rewritten(journal, b"".join([*lines[:2], lines[1], *lines[2:]])) == 3
    assert rewritten(journal, b"".join([*lines[:2], b"\n", *lines[2:]])) == 3
    assert rewritten(journal, b"".join([*lines[:2], b"[]\n", *lines[2:]])) == 3


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\x0b", "\u2028".encode()])
def test_another_line_end_is_found(journal: Journal, end: bytes) -> None:
    content = journal.path.read_bytes()
    assert rewritten(journal, content.replace(b"\n", end, 1)) in (1, 2)


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b", "a\u2029b", "a\x1cb", "a\nb\r\x00c"])
def test_any_text_stays_on_one_line(tmp_path: Path, text: str) -> None:
    journal = Journal(tmp_path)
    journal.record("step", title=text)
    journal.record("step", title="next")
    assert [e["title"] for e in journal.entries()] == [text, "next"]
    assert journal.first_broken_line() is None


def test_a_last_line_cut_short_is_left_out(journal: Journal) -> None:
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-20])
    assert [e["number"] for e in journal.entries()] == [0, 1, 2]


def test_recording_goes_on_after_a_line_cut_short(journal: Journal) -> None:
    """A crash or a full disk may leave half a line: what is recorded afterwards must not be lost with it."""
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-20])
    journal.record("step", number=4)
    journal.record("step", number=5)
    assert [e["number"] for e in journal.entries()] == [0, 1, 2, 4, 5]


def test_a_long_last_line_is_linked_to(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record("step", diff="é" * 1_200_000)
    journal.record("step", diff="")
    assert journal.first_broken_line() is None


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_the_last_complete_line_is_found_wherever_blocks_end(tmp_path: Path, size: int) -> None:
    path, line = tmp_path / "x", b"a" * size
    for before, after in (
        (b"", b""),
        (b"first\n", b""),
        (b"first\n", b"cut short"),
        (b"\n", b"b" * BLOCK),
    ):
        path.write_bytes(before + line + b"\n" + after)
        assert last_line(path) == (line, len(before) + size + 1)
    path.write_bytes(line)
    assert last_line(path) == (b"", 0)


def test_recording_reads_only_the_end_of_a_journal_of_years(journal: Journal) -> None:
    last = journal.path.read_bytes().splitlines(keepends=True)[-1]
    with journal.path.open("ab") as stream:
        stream.truncate(256 * 1024**2)  # a hole, which takes no space
        stream.write(b"\n" + last)
    tracemalloc.start()
    journal.record("step", number=4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 1024**2
    with journal.path.open("rb") as stream:
        stream.seek(256 * 1024**2 + 1 + len(last))
        assert json.loads(stream.read())["previous"] == hashlib.sha256(last[:-1]).hexdigest()


def test_secrets_are_masked_and_the_chain_still_holds(tmp_path: Path) -> None:
    secret = register("0123456789abcdef-audit")
    journal = Journal(tmp_path)
    for _ in range(2):
        journal.record("step", title=f"x {secret} y", commands=[secret], nested={"a": [secret]})
    assert secret not in journal.path.read_text()
    assert [e["title"] for e in journal.entries()] == [f"x {MASK} y"] * 2
    assert journal.first_broken_line() is None


@pytest.mark.parametrize(
    "secret", ['audit"quoted"12', "audit\\slashed\\12", "audit\nline\t12", "audité12345"]
)
def test_a_secret_that_json_would_write_otherwise_is_masked(tmp_path: Path, secret: str) -> None:
    register(secret)
    journal = Journal(tmp_path / "run")
    journal.record(
        "step",
        title=f"x {secret} y",
        path=tmp_path / secret,
        nested={secret: [(secret, None, True, 1.5)]},
    )
    (entry,) = journal.entries()
    assert entry["title"] == f"x {MASK} y" and entry["path"] == str(tmp_path / MASK)
    assert entry["nested"] == {MASK: [[MASK, None, True, 1.5]]}


def test_what_json_does_not_know_becomes_text(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record("step", path=tmp_path)
    assert next(journal.entries())["path"] == str(tmp_path)


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        for number in range(5):
            Journal(tmp_path).record("step", writer=writer, number=number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    journal = Journal(tmp_path)
    assert len(list(journal.entries())) == 20 and journal.first_broken_line() is None


def test_work_in_a_run_goes_to_the_runs_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUN_FOLDER, raising=False)
    assert Journal.of(tmp_path / "c").path == tmp_path / "c/journal.jsonl"
    monkeypatch.setenv(RUN_FOLDER, str(tmp_path / "run"))
    assert Journal.of(tmp_path / "c").path == tmp_path / "run/journal.jsonl"


# --- in pieces ----------------------------------------------------------------------------------------------


@pytest.fixture
def years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """A project's journal in four pieces, with a run in each."""
    monkeypatch.setattr(pieces, "FULL", 2000)
    made = Journal.of_project(tmp_path / "demo")
    for number in range(24):
        if number % 6 == 0:
            made.record("run", run=f"r{number}")
        made.record("check", name="streaming", seen="x" * 100)
    assert list(pieces.closed(made.path)) == [1, 2, 3]
    return made


RUNS = ["r0", "r6", "r12", "r18"]


def test_a_full_file_is_closed_and_the_chain_goes_on(years: Journal) -> None:
    for piece in [*pieces.closed(years.path).values(), years.path]:
        assert piece.stat().st_size < 2000 + 500
    assert list(years.broken()) == [] and years.first_broken_line() is None
    first = next(years.entries())
    assert (first["kind"], first["number"], first["runs"]) == (
        "piece",
        4,
        RUNS[: len(first["runs"])],
    )
    assert (
        pieces.all_runs(years.path) == RUNS == [run.name for run in runs.known(years.path.parent)]
    )


def test_a_change_in_any_piece_is_found(years: Journal) -> None:
    for number, piece in pieces.closed(years.path).items():
        content = piece.read_bytes()
        *others, changed, last = content.splitlines(keepends=True)
        piece.write_bytes(b"".join([*others, changed.replace(b'"kind": "', b'"kind": "x'), last]))
        assert list(years.broken()) == [(pieces.name(number), NOT_CHAINED, len(others) + 2)]
        piece.write_bytes(b"".join([*others, changed]))
        after = pieces.name(number + 1).replace(pieces.name(4), "journal.jsonl")
        assert list(years.broken()) == [(after, NOT_CHAINED, 1)], (
            "the next one carries the hash of what was its end"
        )
        piece.write_bytes(content)
    assert list(years.broken()) == []


def test_a_missing_piece_is_named_and_the_runs_are_still_known(years: Journal) -> None:
    (years.path.parent / pieces.name(2)).unlink()
    assert list(years.broken()) == [
        (pieces.name(2), f"is missing, up to the piece before {pieces.name(3)}", None)
    ]
    for piece in pieces.closed(years.path).values():
        piece.unlink()
    assert list(years.broken()) == [
        (pieces.name(1), "is missing, up to the piece before journal.jsonl", None)
    ]
    assert pieces.all_runs(years.path) == RUNS
    years.record("check")
    assert len(list(years.broken())) == 1


def test_who_is_killed_between_two_pieces_loses_nothing(years: Journal) -> None:
    """The full file has its new name, and the next one is not there, or is empty, or has half a line."""
    years.path.rename(years.path.parent / pieces.name(4))
    for left in (None, b"", b'{"kind": "pi'):
        if left is not None:
            years.path.write_bytes(left)
        assert pieces.all_runs(years.path) == RUNS and list(years.broken()) == []
    years.record("check", name="after")
    assert [e["kind"] for e in years.entries()] == ["piece", "check"]
    assert pieces.all_runs(years.path) == RUNS and list(years.broken()) == []


def test_a_journal_that_has_grown_for_years_is_closed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Journal(tmp_path)
    before.record("run", run="r1")
    for _ in range(50):
        before.record("check", seen="x" * 100)
    monkeypatch.setattr(pieces, "FULL", 2000)
    Journal.of_project(tmp_path).record("check")
    assert list(pieces.closed(before.path)) == [1] and before.path.stat().st_size < 1000
    assert list(Journal.of_project(tmp_path).broken()) == [] and pieces.all_runs(before.path) == [
        "r1"
    ]


def test_the_journal_of_a_run_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "FULL", 500)
    monkeypatch.setenv(RUN_FOLDER, str(tmp_path))
    for _ in range(9):
        Journal.of(tmp_path / "cluster").record("check", seen="x" * 100)
    assert {p.name for p in tmp_path.iterdir()} == {"journal.jsonl", "journal.lock"}


def test_the_runs_are_listed_without_reading_the_years_before(years: Journal) -> None:
    first = pieces.closed(years.path)[1]
    with first.open("r+b") as stream:
        stream.truncate(2**40)  # a hole: who reads it does not come back
    assert pieces.all_runs(years.path) == RUNS
    assert len(runs.known(years.path.parent)) == 4
