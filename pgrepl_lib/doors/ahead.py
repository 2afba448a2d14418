"""What steps that are only planned would leave, as those after them see it.

The other doors ask here first: files are read and written over what is foreseen, a server's life,
role and slots are what they would be, and what is measured or asked is not known yet. Nothing of it
is on the disk, and outside of a plan there is none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

Given = ParamSpec("Given")
Found = TypeVar("Found")


@dataclass
class Ahead:
    """Files by their path (None: it would be gone), their modes, and facts: what, of whom."""

    texts: dict[Path, str | None] = field(default_factory=dict)
    modes: dict[Path, int] = field(default_factory=dict)
    facts: dict[tuple[str, str], Any] = field(default_factory=dict)


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


def shared() -> Callable[[], object]:
    """What a thread begins with that is to see the same."""
    return partial(_AHEAD.set, _AHEAD.get())


def uncertain() -> bool:
    """Whether steps before would have changed who runs or who writes."""
    return any(what in ("life", "recovers") for what, _ in seen().facts)


def leaves(whom: str, **facts: object) -> Callable[[], None]:
    """For an action or a command: once it is planned, this is so."""

    def note() -> None:
        seen().facts.update({(what, whom): value for what, value in facts.items()})

    return note


def facts(what: str, whom: str) -> dict[str, Any]:
    """The same facts of all that belong to somebody, as the slots of a server: those foreseen."""
    begins = f"{whom}/"
    found = ((of, value) for (kind, of), value in seen().facts.items() if kind == what)
    return {of.removeprefix(begins): value for of, value in found if of.startswith(begins)}


def fact(what: str, whom: str, ask: Callable[[], Found]) -> Found:
    """What would be so; it is asked where no step before would have changed it."""
    known = seen().facts
    if (what, whom) in known:
        found: Found = known[what, whom]
        return found
    return ask()


def note_read(whom: str, paths: Iterable[Path]) -> None:
    """A server would have read its files as they would be by now."""
    seen().facts["read", whom] = {path: seen().texts.get(path) for path in paths}


def unread(whom: str, paths: Iterable[Path]) -> list[Path]:
    """Those of its files that a step would have changed, and no later one let it read."""
    texts, read = seen().texts, fact("read", whom, dict[Path, str | None])
    return [path for path in paths if path in texts and read.get(path, ...) != texts[path]]


class Unknown:
    """What nobody knows before it is measured: all that is taken from it is as unknown."""

    def __getattr__(self, name: str) -> Unknown:
        if name.startswith("__"):  # what Python and its libraries look for is not there
            raise AttributeError(name)
        return self

    def __getitem__(self, key: object) -> Unknown:
        return self

    def __call__(self, *given: object, **more: object) -> Unknown:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


UNKNOWN: Any = Unknown()


def measured(work: Callable[Given, Found]) -> Callable[Given, Found]:
    """Decorator: it measures, asks or writes outside of any step, and so a plan leaves it out."""

    @wraps(work)
    def found(*given: Given.args, **more: Given.kwargs) -> Found:
        if looking():
            unknown: Found = UNKNOWN
            return unknown
        return work(*given, **more)

    return found


def judged_now(require: Callable[Given, None]) -> Callable[Given, None]:
    """Decorator: it refuses by what the servers are at, which a plan may not know any more."""

    @wraps(require)
    def judged(*given: Given.args, **more: Given.kwargs) -> None:
        if not uncertain():
            require(*given, **more)

    return judged
