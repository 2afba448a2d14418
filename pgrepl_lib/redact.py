"""Secrets that this process knows, and text without them.

Whoever reads or makes a secret registers it here; every door that shows or stores text passes it through
:func:`redact`, so that no password reaches a command shown, a log, a notebook or the journal.
"""

from __future__ import annotations

MASK = "********"
_secrets: set[str] = set()


def register(secret: str) -> str:
    """Remember a secret (of at least 8 characters, lest common words vanish); returns it."""
    if len(secret) >= 8:
        _secrets.add(secret)
    return secret


def redact(text: str) -> str:
    """The text with every known secret replaced by a mask."""
    for secret in _secrets:
        text = text.replace(secret, MASK)
    return text
