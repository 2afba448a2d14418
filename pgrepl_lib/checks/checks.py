"""All checks by name, and which of them are made when."""

from .claims import access, agreed, data, roles, streaming  # noqa: F401 - they register themselves
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
BESIDES = ("login", "synchronous", "tablespaces", "images", "drift")  # by `pgrepl check`
ON_REQUEST = ("sample", "one-primary", "tables")  # by a chapter, or in the place of `contents`

__all__ = ["BESIDES", "CHECKS", "ON_REQUEST", "SET_UP"]
