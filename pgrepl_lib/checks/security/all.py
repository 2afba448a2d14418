"""All of them by name, in the order in which they are made."""

from ..registry import SECURITY
from . import comers, kept, servers  # noqa: F401 - they register themselves

__all__ = ["SECURITY"]
