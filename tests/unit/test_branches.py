"""Which replica is on the cluster's line of history, and which on a branch that it left."""

from __future__ import annotations

import pytest

from pgrepl_lib.operations.standing import RUNNING, Standing, judged
from pgrepl_lib.postgres.recovery import Recovery, Replay, position
from pgrepl_lib.postgres.timelines import Branch, left

SECOND = "1\t0/5000000\tno recovery target specified\n"
THIRD = f"{SECOND}\n2\t0/7000000\tno recovery target specified\n"


def at(name: str, timeline: int, replayed: str, history: str = "") -> Standing:
    here = position(replayed)
    recovery = Recovery(here, here, receiving=True, doing=Replay.WAITING)
    return Standing(name, RUNNING, recovery, Branch.of(timeline, history))


def test_a_history_file_names_each_place_where_a_timeline_was_left() -> None:
    assert Branch.of(3, THIRD).forks == {1: 0x5000000, 2: 0x7000000}
    assert Branch.of(1, None) == Branch(1)


@pytest.mark.parametrize(
    ("timeline", "replayed", "was_left"),
    [
        (1, "0/4000000", False),  # only behind
        (1, "0/5000000", False),  # exactly where the next one begins
        (1, "0/5000028", True),
        (2, "0/6000000", False),
        (2, "0/9000000", True),
        (3, "0/9000000", False),
    ],
)
def test_a_branch_was_left_where_it_goes_on_beyond_the_fork(
    timeline: int, replayed: str, was_left: bool
) -> None:
    known = [Branch(), Branch.of(3, THIRD)]
    why = left(Branch(timeline), position(replayed), known)
    assert bool(why) == was_left
    assert not why or f"timeline {timeline} was left at" in why


def test_the_timeline_counts_before_the_position() -> None:
    seen = judged([at("replica", 1, "0/9000000"), at("replica-2", 2, "0/6000000", SECOND)])
    assert [s.name for s in seen] == ["replica-2", "replica"]
    chosen, abandoned = seen
    assert chosen.runs and not chosen.left
    assert abandoned.left and not abandoned.runs and "left at 0/5000000" in abandoned.state
    assert not abandoned.has_more_than(chosen)


def test_who_is_behind_on_the_earlier_timeline_may_still_be_chosen() -> None:
    seen = judged([at("replica", 1, "0/4000000"), at("replica-2", 2, "0/5000000", SECOND)])
    assert [(s.name, s.runs) for s in seen] == [("replica-2", True), ("replica", True)]
    assert seen[0].has_more_than(seen[1]) and not seen[1].has_more_than(seen[0])


def test_on_one_timeline_the_position_decides() -> None:
    seen = judged([at("replica", 2, "0/6000000"), at("replica-2", 2, "0/6000028")])
    assert [s.name for s in seen] == ["replica-2", "replica"]
    assert seen[0].has_more_than(seen[1])
