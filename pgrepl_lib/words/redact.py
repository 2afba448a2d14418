"""Secrets that this process knows, and text without them.

Whoever reads or makes a secret registers it here; every door that shows or stores text passes it
through :func:`redact`, so that no password reaches a command shown, a log, a notebook or the
journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK = "********"
_secrets: set[str] = set()


def register(secret: str) -> str:
    """Remember a secret (of at least 8 characters, lest common words vanish); returns it."""
    if len(secret) >= 8:
        _secrets.add(secret)
    return secret


def redact(text: str) -> str:
    """The text with every known secret replaced by a mask; without any, the text itself."""
    for secret in sorted(_secrets, key=len, reverse=True):  # one may be a part of another
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def redacted(value: Any) -> Any:
    """A value for JSON with every text in it redacted; what JSON does not know becomes its text.

    Before it is JSON: there a quote or backslash in a secret is written as two characters.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {redact(k) if isinstance(k, str) else k: redacted(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(v) for v in value]
    return redact(str(value))
