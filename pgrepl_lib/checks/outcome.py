"""The outcome of a check: facts about instances, and what to do where they are not as expected."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..words.text import joined


@dataclass(frozen=True)
class Fact:
    """What a check expects of an instance, and what it saw there.

    instance: empty for a fact about the cluster. remedy: what to do about what was seen, where that
    is more than the check's own hint.
    """

    instance: str
    expected: str
    seen: str
    remedy: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is as expected."""
        return self.expected == self.seen


@dataclass(frozen=True)
class Check:
    """A check's outcome. tried: False where it could not be made: no failure, and no proof."""

    name: str
    title: str
    facts: tuple[Fact, ...]
    hint: str
    tried: bool = True

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the claim."""
        return not self.tried or all(fact.holds for fact in self.facts)

    @property
    def verdict(self) -> str:
        """passed, failed or not tried."""
        if not self.tried:
            return "not tried"
        return "passed" if self.passed else "failed"

    @property
    def expected(self) -> str:
        """What was expected, for people."""
        return _told(self.facts, "expected")

    @property
    def seen(self) -> str:
        """What was seen, for people."""
        return _told(self.facts, "seen")

    def plain(self) -> dict[str, Any]:
        """For programs and records."""
        texts = {name: getattr(self, name) for name in ("name", "title", "expected", "seen")}
        return {**texts, "passed": self.passed, "hint": self.hint, "tried": self.tried}

    def record(self, seconds: float) -> dict[str, Any]:
        """As it is recorded; seconds: how long it took."""
        found = {**self.plain(), "seconds": round(seconds, 3)}
        if self.tried:
            del found["tried"]
        if any(fact.instance for fact in self.facts):
            found["answers"] = [asdict(fact) for fact in self.facts]
        return found

    def _ipython_display_(self) -> None:
        """A notebook has shown the outcome already."""


def _told(facts: tuple[Fact, ...], name: str) -> str:
    """The same answer of all instances once; else each with its name."""
    values: list[str] = [getattr(fact, name) for fact in facts]
    if len(set(values)) == 1:
        return values[0]
    named = [
        joined(": ", [fact.instance, value]) if fact.instance else value
        for fact, value in zip(facts, values, strict=True)
    ]
    return joined("; ", named)
