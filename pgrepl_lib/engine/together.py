"""Actions side by side, in threads: what they wait for is PostgreSQL's work, not ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from ..doors.command import Command, Completed, transcript
from ..doors.wait import telling
from .action import Action, Tell


@dataclass(frozen=True)
class Result:
    """How one action ended: outcome, the diff asked for before it, seconds, what ran, and the error where it failed."""

    outcome: str
    diff: str
    seconds: float
    ran: list[tuple[Command, Completed]] = field(default_factory=list)
    error: BaseException | None = None


def together(
    actions: Sequence[tuple[Action, Callable[[], str]]], at_once: int, tell: Tell
) -> list[Result]:
    """Do all of them, at most so many at once; progress is told by this thread, which alone may show something.

    Interrupted, it begins no other, and returns how those that had begun ended once their programs have.
    """
    said: dict[int, str] = {}

    def one(number: int) -> Result:
        action, diff = actions[number]
        started, text = time.monotonic(), diff()

        def say(line: str) -> None:
            said[number] = line

        with transcript() as ran, telling(say):
            try:
                if action.done():
                    return Result("unchanged", text, time.monotonic() - started)
                action.do(say)
                return Result("changed", text, time.monotonic() - started, ran)
            except Exception as error:
                return Result("failed", text, time.monotonic() - started, ran, error)

    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(one, n) for n in range(len(actions))]
        tell("…")  # always once, so that a notebook's output does not depend on how fast it was
        try:
            while wait(futures, timeout=0.5).not_done:
                tell(
                    f"{sum(f.done() for f in futures)}/{len(futures)} · {' · '.join(said.values())}"
                )
        except KeyboardInterrupt as error:
            pool.shutdown(cancel_futures=True)
            results = [_interrupted(f, error) for f in futures]
            if not any(r.error for r in results):
                raise
            return results
        return [f.result() for f in futures]


def _interrupted(future: Future[Result], error: KeyboardInterrupt) -> Result:
    """How an action ended that was interrupted, unless it was done before."""
    result = Result("interrupted", "", 0, error=error) if future.cancelled() else future.result()
    return (
        replace(result, outcome="interrupted", error=error)
        if result.outcome == "failed"
        else result
    )
