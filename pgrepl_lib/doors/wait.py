"""The door for waiting: bounded, explained, and ended at once when waiting became pointless."""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import tenacity

from ..errors import WaitTimeout
from ..words.quoted import LOG, quoted
from ..words.redact import redact
from ..words.text import Text, mark, t
from .program import silently

Given = ParamSpec("Given")
Done = TypeVar("Done")
PATIENCE = 3.0  # seconds after which a wait says what it waits for
# Between two looks: short at first, then longer (seconds).
PAUSES = tenacity.wait_incrementing(start=0.02, increment=0.02, max=0.1)
NOT_YET = tenacity.retry_if_result(operator.not_)
ONCE_MORE = mark("do it again: it goes on where it stopped")
LOOKS = 10  # how often within its limit a wait looks for progress


_telling: ContextVar[Callable[[str], None]] = ContextVar("telling", default=silently)


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
    """Call `probe` until it answers (True, state); raises `WaitTimeout`.

    what: what is awaited, for the error. probe: returns whether it is there, and the state seen.
    seconds: the limit. progress: for work that grows with the data, a value that changes while it
    comes nearer; the limit then begins anew with each change. alive: False ends the wait. log: the
    server's last lines, for the error. every: seconds between two probes; 0 slows down by itself.
    """
    wait = _Wait(probe, alive, seconds, progress)
    pauses = tenacity.wait_fixed(every) if every else PAUSES
    try:
        tenacity.Retrying(stop=wait.over, wait=pauses, retry=NOT_YET)(wait.reached, what)
    except (tenacity.RetryError, _Ended):
        cause = t("Waited for {what}: {how}.", what=what, how=wait.told())
        raise WaitTimeout(cause, looked_at=wait.seen(log()), remedy=hint or t(ONCE_MORE)) from None


def again(error: type[Exception]) -> Callable[[Callable[Given, Done]], Callable[Given, Done]]:
    """For a function whose error may be over a moment later: it is tried three times."""
    return tenacity.retry(
        retry=tenacity.retry_if_exception_type(error),
        stop=tenacity.stop_after_attempt(3),
        wait=PAUSES,
        reraise=True,
    )


class _Ended(Exception):
    """What is waited for can no longer come."""


class _Wait:
    """What of it was seen last, and how long it may go on: from where something moved last."""

    def __init__(
        self,
        probe: Callable[[], tuple[bool, str]],
        alive: Callable[[], bool],
        seconds: float,
        progress: Callable[[], object],
    ) -> None:
        self.probe, self.alive, self.seconds, self.progress = probe, alive, seconds, progress
        self.started = self.moved = self.looked = time.monotonic()
        self.last = progress()
        self.state: str = t("nothing yet")
        self.ended = False

    def reached(self, what: str) -> bool:
        """Whether it is there; raises `_Ended`."""
        living = self.alive()  # before the probe: what was reached while it lived still counts
        reached, self.state = self.probe()
        if not reached and not living:
            self.ended = True
            raise _Ended
        if not reached and self._age() > PATIENCE:
            _telling.get()(redact(f"{what}: {self.state}"))
        return reached

    def over(self, _: object) -> bool:
        """Whether the wait has to end; asked after each attempt."""
        now = time.monotonic()
        if now - self.looked >= self.seconds / LOOKS:
            seen, self.looked = self.progress(), now
            if seen != self.last:
                self.last, self.moved = seen, now
        return now - self.moved >= self.seconds

    def told(self) -> Text:
        """Why it ended without that."""
        age = self._age()
        if self.ended:
            return t("it has stopped, after {seconds:.1f} s", seconds=age)
        if self.moved == self.started:
            return t("not within {seconds:g} s", seconds=self.seconds)
        return t("no progress for {seconds:g} s, after {age:.0f} s", seconds=self.seconds, age=age)

    def seen(self, log: str) -> list[Text]:
        """The last state, and the last lines of the server's log."""
        found = [t("last state: {state}", state=redact(self.state))]
        if lines := log.strip().splitlines()[-12:]:
            found.append(quoted(LOG, "\n".join(map(redact, lines))))
        return found

    def _age(self) -> float:
        return time.monotonic() - self.started


def repeat(act: Callable[[], None], *, every: float) -> None:
    """Do something again and again, so many seconds apart, until it raises, as Ctrl-C does."""
    while True:
        act()
        time.sleep(every)


async def pause(seconds: float) -> None:
    """Let so much time pass, while others go on."""
    await asyncio.sleep(seconds)
