"""The page to print and cut: a card for each participant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..doors import files
from ..evidence.template import filled

CARDS = Path(__file__).parent / "templates/cards.html.j2"
PAIR = 2  # of a fingerprint's digits, as browsers group them


def write(file: Path, seen: Mapping[str, Any]) -> None:
    """Write what was seen of a class as a page, for its owner alone: it shows the passwords."""
    digits = seen["fingerprint"]
    pairs = [digits[i : i + PAIR] for i in range(0, len(digits), PAIR)]
    words = {"this": seen, **seen, "fingerprint": ":".join(pairs)}
    files.write_atomic(file, filled(CARDS, **words), 0o600)
