"""The journal: what is recorded, and that its hash chain shows every change but one to the last line."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import tracemalloc
from pathlib import Path

import pytest

from pgrepl_lib.audit import ORIGIN, RUN_FOLDER, Journal
from pgrepl_lib.files import BLOCK, last_line
from pgrepl_lib.redact import MASK, register


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
    assert rewritten(journal, b"".join(lines[:3])) is None  # the end can be cut off: nothing points at it


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
    for before, after in ((b"", b""), (b"first\n", b""), (b"first\n", b"cut short"), (b"\n", b"b" * BLOCK)):
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


@pytest.mark.parametrize("secret", ['audit"quoted"12', "audit\\slashed\\12", "audit\nline\t12", "audité12345"])
def test_a_secret_that_json_would_write_otherwise_is_masked(tmp_path: Path, secret: str) -> None:
    register(secret)
    journal = Journal(tmp_path / "run")
    journal.record("step", title=f"x {secret} y", path=tmp_path / secret, nested={secret: [(secret, None, True, 1.5)]})
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


def test_work_in_a_run_goes_to_the_runs_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_FOLDER, raising=False)
    assert Journal.of(tmp_path / "c").path == tmp_path / "c/journal.jsonl"
    monkeypatch.setenv(RUN_FOLDER, str(tmp_path / "run"))
    assert Journal.of(tmp_path / "c").path == tmp_path / "run/journal.jsonl"
