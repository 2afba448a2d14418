"""The door for waiting: bounded, explained, and ended at once when waiting became pointless."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import tenacity

from ..errors import PgreplError, WaitTimeout
from .redact import redact

PATIENCE = 3.0  # seconds after which a wait says what it waits for
LOOKS = 10  # how often within its limit a wait looks for progress


def _to_nobody(line: str) -> None:
    """Nobody wants to be told."""


_telling: ContextVar[Callable[[str], None]] = ContextVar("telling", default=_to_nobody)


@contextmanager
def telling(tell: Callable[[str], None]) -> Iterator[None]:
    """Long waits of this thread inside the block tell this function what they wait for."""
    before = _telling.set(tell)
    try:
        yield
    finally:
        _telling.reset(before)


def nothing_moves() -> object:
    """The progress of what is there at once or not: none."""
    return None


def wait_until(
    what: str,
    probe: Callable[[], tuple[bool, str]],
    *,
    seconds: float,
    hint: str = "",
    alive: Callable[[], bool] = lambda: True,
    log: Callable[[], str] = lambda: "",
    every: float = 0.0,
    progress: Callable[[], object] = nothing_moves,
) -> None:
    """Call `probe` until it answers (True, state).

    what: what is awaited, for the error. probe: returns whether it is there, and the state seen.
    seconds: the limit. progress: for work that grows with the data, a value that changes while it
    comes nearer; the limit then begins anew with each change. alive: False ends the wait (the process
    or container has died).
    log: the server's last lines, asked for only on failure. every: seconds between two probes; 0 begins with many and
    slows down. Raises `WaitTimeout`.
    """
    limit = _Limit(seconds, progress)
    state = "nothing yet"

    def attempt() -> bool:
        nonlocal state
        living = alive()  # before the probe: what was reached while it lived still counts
        reached, state = probe()
        if not reached and not living:
            raise _failure(what, f"it has stopped, after {limit.age():.1f} s", state, hint, log)
        if not reached and limit.age() > PATIENCE:
            _telling.get()(redact(f"{what}: {state}"))
        return reached

    try:
        tenacity.Retrying(
            stop=limit.passed,
            wait=tenacity.wait_fixed(every)
            if every
            else tenacity.wait_incrementing(start=0.02, increment=0.02, max=0.1),
            retry=tenacity.retry_if_result(lambda reached: not reached),
        )(attempt)
    except tenacity.RetryError:
        raise _failure(what, limit.told(), state, hint, log) from None


class _Limit:
    """How long a wait may go on: from its beginning or, where something moves, from then on."""

    def __init__(self, seconds: float, progress: Callable[[], object]) -> None:
        self.seconds, self.progress = seconds, progress
        self.started = self.moved = self.looked = time.monotonic()
        self.last = progress()

    def age(self) -> float:
        """Seconds since the wait began."""
        return time.monotonic() - self.started

    def passed(self, _: object) -> bool:
        """Whether the wait has to end; asked after each attempt."""
        now = time.monotonic()
        if now - self.looked >= self.seconds / LOOKS:
            seen, self.looked = self.progress(), now
            if seen != self.last:
                self.last, self.moved = seen, now
        return now - self.moved >= self.seconds

    def told(self) -> str:
        """Why it ended, for the error."""
        if self.moved == self.started:
            return f"not within {self.seconds:g} s"
        return f"no progress for {self.seconds:g} s, after {self.age():.0f} s"


def repeat(act: Callable[[], None], *, every: float) -> None:
    """Do something again and again, so many seconds apart, until it raises (a person's Ctrl-C does)."""
    tenacity.Retrying(
        wait=tenacity.wait_fixed(every), retry=tenacity.retry_if_result(lambda _: True)
    )(act)


def _failure(what: str, how: str, state: str, hint: str, log: Callable[[], str]) -> PgreplError:
    looked_at = [f"last state: {state}"]
    if tail := log().strip():
        looked_at.append(
            "end of the server's log:\n"
            + "\n".join(f"    {line}" for line in tail.splitlines()[-12:])
        )
    return WaitTimeout(
        f"Waited for {what}: {how}.", looked_at=[redact(x) for x in looked_at], remedy=hint
    )
