"""The outcome of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """The outcome of a check. tried: whether it could be made; one that could not has not failed, and proves nothing."""

    name: str
    title: str
    expected: str
    seen: str
    passed: bool
    hint: str
    tried: bool = True

    @property
    def verdict(self) -> str:
        """passed, failed or not tried."""
        return "not tried" if not self.tried else "passed" if self.passed else "failed"

    def facts(self, seconds: float) -> dict[str, Any]:
        """As it is recorded; seconds: how long it took."""
        found = {**vars(self), "seconds": round(seconds, 3)}
        if self.tried:
            del found["tried"]
        return found

    def _ipython_display_(self) -> None:
        """A notebook has shown the outcome already."""
