"""The door for waiting: bounded, explained, and ended at once when waiting became pointless."""

from __future__ import annotations

import time
from collections.abc import Callable

import tenacity

from .errors import PgreplError, WaitTimeout
from .redact import redact


def wait_until(
    what: str,
    probe: Callable[[], tuple[bool, str]],
    *,
    seconds: float,
    hint: str = "",
    alive: Callable[[], bool] = lambda: True,
    log: Callable[[], str] = lambda: "",
    every: float = 0.0,
) -> None:
    """Call `probe` until it answers (True, state).

    what: what is awaited, for the error. probe: returns whether it is there, and the state seen.
    seconds: the limit. alive: False ends the wait (the process or container has died).
    log: the server's last lines, asked for only on failure. every: seconds between two probes; 0 begins with many and
    slows down. Raises `WaitTimeout`.
    """
    started = time.monotonic()
    state = "nothing yet"

    def attempt() -> bool:
        nonlocal state
        living = alive()  # before the probe: what was reached while it lived still counts
        reached, state = probe()
        if not reached and not living:
            raise _failure(what, f"it has stopped, after {time.monotonic() - started:.1f} s", state, hint, log)
        return reached

    try:
        tenacity.Retrying(
            stop=tenacity.stop_after_delay(seconds),
            wait=tenacity.wait_fixed(every) if every else tenacity.wait_incrementing(start=0.02, increment=0.02, max=0.1),
            retry=tenacity.retry_if_result(lambda reached: not reached),
        )(attempt)
    except tenacity.RetryError:
        raise _failure(what, f"not within {seconds:g} s", state, hint, log) from None


def repeat(act: Callable[[], None], *, every: float) -> None:
    """Do something again and again, so many seconds apart, until it raises (a person's Ctrl-C does)."""
    tenacity.Retrying(wait=tenacity.wait_fixed(every), retry=tenacity.retry_if_result(lambda _: True))(act)


def _failure(what: str, how: str, state: str, hint: str, log: Callable[[], str]) -> PgreplError:
    looked_at = [f"last state: {state}"]
    if tail := log().strip():
        looked_at.append("end of the server's log:\n" + "\n".join(f"    {line}" for line in tail.splitlines()[-12:]))
    return WaitTimeout(f"Waited for {what}: {how}.", looked_at=[redact(x) for x in looked_at], remedy=hint)
