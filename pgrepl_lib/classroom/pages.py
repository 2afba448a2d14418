"""The page to print and cut: a card for each participant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..doors import files
from ..words import language
from ..words.text import t

TEMPLATES = Path(__file__).parent / "templates"
PAIR = 2  # of a fingerprint's digits, as browsers group them


def write(file: Path, seen: Mapping[str, Any]) -> None:
    """Write what was seen of a class as a page, for its owner alone: it shows the passwords."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        autoescape=True, loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined
    )
    made.globals["t"] = t
    digits = seen["fingerprint"]
    pairs = [digits[i : i + PAIR] for i in range(0, len(digits), PAIR)]
    words = {
        "this": seen,
        **seen,
        "fingerprint": ":".join(pairs),
        "language": language.spoken().replace("_", "-"),
    }
    files.write_atomic(file, made.get_template("cards.html.j2").render(words), 0o600)
