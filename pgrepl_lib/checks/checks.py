"""All checks by name, and which of them are made when."""

from .claims import (  # noqa: F401 - they register themselves
    access,
    agreed,
    alike,
    data,
    roles,
    streaming,
)
from .registry import CHECKS

SET_UP = (  # those of chapter 03, in its order
    "primary-writes",
    "replica-refuses-writes",
    "streaming",
    "slot",
    "receiver",
    "same-cluster",
    "settings",
    "contents",
    "right-needed",
    "rule-needed",
)
BESIDES = (  # by `pgrepl check`
    "login",
    "synchronous",
    "tablespaces",
    "checksums",
    "images",
    "collations",
    "limits",
    "libraries",
    "wal-kept",
    "clock",
    "drift",
)
ON_REQUEST = ("sample", "one-primary", "tables")  # by a chapter, or in the place of `contents`

__all__ = ["BESIDES", "CHECKS", "ON_REQUEST", "SET_UP"]
