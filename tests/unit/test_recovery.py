"""How far a replica is, when what it received may end inside a record."""

from __future__ import annotations

from typing import Any

import pytest

from pgrepl_lib.postgres.recovery import Recovery, Replay, position

Row = dict[str, Any]


def row(received: str | None, replayed: str | None, waits_for: str | None, **more: Any) -> Row:
    """A look as the server answers it."""
    found: Row = {"recovering": True, "receiving": False, "pause": "not paused"}
    return {**found, "received": received, "replayed": replayed, "waits_for": waits_for, **more}


WAITING = "Activity:RecoveryWalStream"


def seen(received: str | None, replayed: str | None, waits_for: str | None = WAITING) -> Recovery:
    return Recovery.of(row(received, replayed, waits_for))


@pytest.mark.parametrize(
    ("lsn", "bytes_"), [("0/3000060", 0x3000060), ("1/0", 1 << 32), (None, 0), ("", 0)]
)
def test_a_position_in_bytes(lsn: str | None, bytes_: int) -> None:
    assert position(lsn) == bytes_


@pytest.mark.parametrize(
    ("waits_for", "more", "doing"),
    [
        ("Activity:RecoveryWalStream", {}, Replay.WAITING),
        ("Timeout:RecoveryRetrieveRetryInterval", {}, Replay.WAITING),
        (None, {}, Replay.APPLYING),
        ("IO:DataFileRead", {}, Replay.APPLYING),
        ("IPC:RecoveryPause", {"pause": "paused"}, Replay.PAUSED),
        (None, {"pause": "pause requested"}, Replay.APPLYING),
        ("Timeout:RecoveryApplyDelay", {}, Replay.DELAYED),
        ("IPC:RecoveryConflictSnapshot", {}, Replay.HELD),
        ("Lock:relation", {}, Replay.HELD),
        ("BufferPin:BufferPin", {}, Replay.HELD),
        (None, {"recovering": False, "pause": None}, Replay.ENDED),
    ],
)
def test_what_replay_waits_for_says_what_it_does(
    waits_for: str | None, more: Row, doing: Replay
) -> None:
    assert Recovery.of(row("0/2", "0/1", waits_for, **more)).doing is doing


def test_all_is_replayed_although_what_was_received_ends_inside_a_record() -> None:
    found = seen("0/C400000", "0/C3FFFA8")
    assert found.complete and found.end == position("0/C3FFFA8")


def test_what_is_still_to_be_replayed_counts_as_received() -> None:
    found = seen("0/C400000", "0/C000000", None)
    assert not found.complete and found.end == position("0/C400000")


def test_a_part_of_a_record_is_no_advance() -> None:
    more, less = seen("0/C400000", "0/C3FFFA8"), seen("0/C3FFFA8", "0/C3FFFA8")
    assert not more.has_more_than(less) and not less.has_more_than(more)


def test_a_record_more_is_an_advance() -> None:
    more, less = seen("0/C400000", "0/C3FFFA8"), seen("0/C3FFF00", "0/C3FFF00")
    assert more.has_more_than(less) and not less.has_more_than(more)


@pytest.mark.parametrize(
    "received", [None, "0/C000000"], ids=["nothing", "the segment's beginning"]
)
def test_since_a_restart_only_what_is_replayed_is_known(received: str | None) -> None:
    found, other = seen(received, "0/C3FFFA8"), seen("0/C3FFF00", "0/C3FFF00")
    assert found.restarted and found.complete and found.has_more_than(other)
