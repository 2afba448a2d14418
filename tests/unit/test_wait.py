"""Waiting: bounded, ended early where it became pointless, and explained."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from pgrepl_lib.doors.wait import repeat, telling, wait_until
from pgrepl_lib.errors import WaitTimeout
from pgrepl_lib.words.redact import MASK, register


def states(*given: tuple[bool, str]) -> Iterator[tuple[bool, str]]:
    yield from given
    while True:
        yield given[-1]


def test_it_ends_as_soon_as_the_probe_says_so() -> None:
    calls, answers = [], states((False, "a"), (False, "b"), (True, "c"))
    wait_until("x", lambda: calls.append(1) or next(answers), seconds=5)  # type: ignore[func-returns-value]
    assert len(calls) == 3


def test_the_limit_names_what_was_awaited_the_last_state_and_the_hint() -> None:
    answers, started = states((False, "starting"), (False, "recovering")), time.monotonic()
    with pytest.raises(WaitTimeout) as caught:
        wait_until(
            "the moon",
            lambda: next(answers),
            seconds=0.2,
            hint="look up",
            log=lambda: "line 1\nline 2\n",
        )
    assert 0.15 < time.monotonic() - started < 2
    text = str(caught.value)
    for part in (
        "the moon",
        "not within 0.2 s",
        "last state: recovering",
        "line 1",
        "line 2",
        "what to do: look up",
    ):
        assert part in text
    assert isinstance(caught.value, TimeoutError) and caught.value.exit_code == 1


def test_a_dead_process_ends_it_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(WaitTimeout, match="it has stopped") as caught:
        wait_until(
            "x",
            lambda: (False, "no answer"),
            seconds=30,
            alive=lambda: False,
            log=lambda: "FATAL: no",
        )
    assert time.monotonic() - started < 2
    assert "last state: no answer" in str(caught.value) and "FATAL: no" in str(caught.value)


def test_what_was_reached_before_the_death_counts() -> None:
    wait_until("x", lambda: (True, "there"), seconds=1, alive=lambda: False)


def test_the_log_is_asked_for_only_on_failure_and_only_its_end_is_shown() -> None:
    def never() -> str:
        raise AssertionError("asked for the log")

    wait_until("x", lambda: (True, ""), seconds=1, log=never)
    with pytest.raises(WaitTimeout) as caught:
        wait_until(
            "x",
            lambda: (False, ""),
            seconds=0.05,
            log=lambda: "\n".join(f"line {n}" for n in range(100)),
        )
    assert "line 99" in str(caught.value) and "line 50" not in str(caught.value)


def test_secrets_in_state_and_log_are_masked() -> None:
    secret = register("0123456789abcdef-wait")
    with pytest.raises(WaitTimeout) as caught:
        wait_until(
            "x", lambda: (False, f"state {secret}"), seconds=0.05, log=lambda: f"log {secret}"
        )
    assert (
        secret not in str(caught.value)
        and f"state {MASK}" in str(caught.value)
        and f"log {MASK}" in str(caught.value)
    )


def test_an_error_of_the_probe_is_not_swallowed() -> None:
    def broken() -> tuple[bool, str]:
        raise KeyError("x")

    with pytest.raises(KeyError):
        wait_until("x", broken, seconds=5)


def test_where_something_moves_the_limit_begins_anew_with_each_change() -> None:
    started = time.monotonic()

    def probe() -> tuple[bool, str]:
        return time.monotonic() - started > 1.2, "on its way"

    wait_until("x", probe, seconds=0.6, progress=lambda: int(10 * (time.monotonic() - started)))


def test_what_no_longer_moves_ends_it_and_is_told_as_that() -> None:
    started = time.monotonic()

    def moved() -> int:
        return min(3, int(10 * (time.monotonic() - started)))

    with pytest.raises(WaitTimeout, match=r"no progress for 0\.5 s") as caught:
        wait_until("x", lambda: (False, "at 3"), seconds=0.5, progress=moved)
    assert 0.7 < time.monotonic() - started < 5
    assert "last state: at 3" in str(caught.value)


def test_a_long_wait_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgrepl_lib.doors.wait.PATIENCE", 0.1)
    told: list[str] = []
    answers = states(*((False, f"at {n}") for n in range(10)), (True, ""))
    with telling(told.append):
        wait_until("the moon", lambda: next(answers), seconds=5)
    assert told and told[-1] == "the moon: at 9"
    told.clear()
    wait_until("the sun", lambda: (True, ""), seconds=5)
    assert not told


@pytest.mark.parametrize("ending", [KeyboardInterrupt, WaitTimeout])
def test_what_is_repeated_ends_with_what_it_raises_itself(ending: type[BaseException]) -> None:
    outcomes = iter((None, None, ending("x")))

    def act() -> None:
        if (raised := next(outcomes)) is not None:
            raise raised

    with pytest.raises(ending):
        repeat(act, every=0.001)
    assert list(outcomes) == []
