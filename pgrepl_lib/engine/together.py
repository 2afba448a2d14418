"""How an action ends, told instead of raised; also of several side by side, in threads.

What they wait for is PostgreSQL's work, not ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial

from ..doors.command import Command, Completed, transcript
from ..doors.wait import telling
from .action import Action, Shown, Tell


@dataclass(frozen=True)
class Result:
    """How one action ended: "changed", "unchanged", "failed" or "interrupted".

    commands, shown: what a person would type for it, with and without edits that had been made
    before. diff: what its edits changed. ran: the programs. error: why it ended early.
    """

    outcome: str
    commands: tuple[Shown, ...] = ()
    shown: tuple[Shown, ...] = ()
    diff: str = ""
    seconds: float = 0.0
    ran: list[tuple[Command, Completed]] = field(default_factory=list)
    error: BaseException | None = None


def attempt(action: Action, do: Callable[[], object]) -> Result:
    """Do an action unless it is done. do: how, with what shows its progress."""
    started, commands = time.monotonic(), action.typed()
    before = Result("failed", commands, commands, action.diff())
    pending = action.pending()
    try:
        if action.done():
            return replace(before, outcome="unchanged", diff="", seconds=time.monotonic() - started)
        with transcript() as ran:
            before = replace(before, ran=ran, shown=pending)
            do()
        ended = replace(before, outcome="changed")
    except KeyboardInterrupt as error:
        ended = replace(before, outcome="interrupted", error=error)
    except Exception as error:
        ended = replace(before, error=error)
    return replace(ended, seconds=time.monotonic() - started)


def together(actions: Sequence[Action], at_once: int, tell: Tell) -> list[Result]:
    """Do all of them, at most so many at once; this thread alone tells the progress.

    Interrupted, it begins no other, and returns how those that had begun ended once their programs
    have.
    """
    said: dict[int, str] = {}
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(_one, action, said, n) for n, action in enumerate(actions)]
        tell("…")  # always once, so that a notebook's output does not depend on how fast it was
        try:
            while wait(futures, timeout=0.5).not_done:
                done = sum(f.done() for f in futures)
                tell(f"{done}/{len(futures)} · {' · '.join(said.values())}")
        except KeyboardInterrupt as error:
            pool.shutdown(cancel_futures=True)
            results = [_interrupted(f, error) for f in futures]
            if not any(r.error for r in results):
                raise
            return results
        return [f.result() for f in futures]


def _one(action: Action, said: dict[int, str], number: int) -> Result:
    """Do an action. said: where its progress is put down, by its number."""

    def say(line: str) -> None:
        said[number] = line

    with telling(say):
        return attempt(action, partial(action.do, say))


def _interrupted(future: Future[Result], error: KeyboardInterrupt) -> Result:
    """How an action ended that was interrupted, unless it was done before."""
    if future.cancelled():
        return Result("interrupted", error=error)
    result = future.result()
    if result.outcome == "failed":
        return replace(result, outcome="interrupted", error=error)
    return result
