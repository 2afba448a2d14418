"""What steps that are only planned would leave, as those after them see it.

Nothing of it is on the disk, and outside of a plan there is none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Ahead:
    """Files by their path, and the names of temporary instances that would have been started."""

    texts: dict[Path, str] = field(default_factory=dict)
    modes: dict[Path, int] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)


_AHEAD: ContextVar[Ahead | None] = ContextVar("_AHEAD", default=None)


@contextmanager
def look_ahead() -> Iterator[None]:
    """In the block, nothing is done, and what would have been done is seen."""
    token = _AHEAD.set(Ahead())
    try:
        yield
    finally:
        _AHEAD.reset(token)


def looking() -> bool:
    """Whether steps are only planned: what one requires, those before it would have made."""
    return _AHEAD.get() is not None


def seen() -> Ahead:
    """What would have been left up to now."""
    return _AHEAD.get() or Ahead()
