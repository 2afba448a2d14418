"""The door for waiting: bounded, explained, and ended at once when waiting became pointless."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import tenacity

from ..errors import PgreplError, WaitTimeout
from ..words.redact import redact
from ..words.text import Text, joined, t

PATIENCE = 3.0  # seconds after which a wait says what it waits for
# Between two looks: short at first, then longer (seconds).
PAUSES = tenacity.wait_incrementing(start=0.02, increment=0.02, max=0.1)
NOT_YET = tenacity.retry_if_result(operator.not_)
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


def _lives() -> bool:
    """Of what no process or container is known that could end."""
    return True


def _no_log() -> str:
    """Where there is none."""
    return ""


def wait_until(
    what: str,
    probe: Callable[[], tuple[bool, str]],
    *,
    seconds: float,
    hint: str = "",
    alive: Callable[[], bool] = _lives,
    log: Callable[[], str] = _no_log,
    every: float = 0.0,
    progress: Callable[[], object] = nothing_moves,
) -> None:
    """Call `probe` until it answers (True, state).

    what: what is awaited, for the error. probe: returns whether it is there, and the state seen.
    seconds: the limit. progress: for work that grows with the data, a value that changes while it
    comes nearer; the limit then begins anew with each change. alive: False ends the wait (the
    process or container has died). log: the server's last lines, asked for only on failure. every:
    seconds between two probes; 0 begins with many and slows down. Raises `WaitTimeout`.
    """
    wait = _Wait(what, probe, alive, _Limit(seconds, progress))
    pauses = tenacity.wait_fixed(every) if every else PAUSES
    try:
        tenacity.Retrying(stop=wait.limit.passed, wait=pauses, retry=NOT_YET)(wait.attempt)
    except (tenacity.RetryError, _Ended):
        raise _failure(wait, hint, log) from None


class _Ended(Exception):
    """What is waited for can no longer come."""


class _Wait:
    """What is awaited, and what of it was seen last."""

    def __init__(
        self,
        what: str,
        probe: Callable[[], tuple[bool, str]],
        alive: Callable[[], bool],
        limit: _Limit,
    ) -> None:
        self.what, self.probe, self.alive, self.limit = what, probe, alive, limit
        self.state: str = t("nothing yet")
        self.ended = False

    def attempt(self) -> bool:
        """Whether it is there; raises `_Ended`."""
        living = self.alive()  # before the probe: what was reached while it lived still counts
        reached, self.state = self.probe()
        if not reached and not living:
            self.ended = True
            raise _Ended
        if not reached and self.limit.age() > PATIENCE:
            _telling.get()(redact(f"{self.what}: {self.state}"))
        return reached

    def told(self) -> Text:
        """Why it ended without that."""
        if self.ended:
            return t("it has stopped, after {seconds:.1f} s", seconds=self.limit.age())
        return self.limit.told()


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

    def told(self) -> Text:
        """Why it ended, for the error."""
        if self.moved == self.started:
            return t("not within {seconds:g} s", seconds=self.seconds)
        return t(
            "no progress for {seconds:g} s, after {age:.0f} s", seconds=self.seconds, age=self.age()
        )


def repeat(act: Callable[[], None], *, every: float) -> None:
    """Do something again and again, so many seconds apart, until it raises, as Ctrl-C does."""
    tenacity.Retrying(wait=tenacity.wait_fixed(every), retry=tenacity.retry_always)(act)


def _failure(wait: _Wait, hint: str, log: Callable[[], str]) -> PgreplError:
    looked_at = [t("last state: {state}", state=redact(wait.state))]
    if lines := log().strip().splitlines()[-12:]:
        tail = (redact(f"    {line}") for line in lines)
        looked_at.append(joined("\n", [t("end of the server's log:"), *tail]))
    cause = t("Waited for {what}: {how}.", what=wait.what, how=wait.told())
    return WaitTimeout(cause, looked_at=looked_at, remedy=hint)
