"""Whether the instance that a program reads from hangs: the program would wait for it for ever."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..doors.answer import Kind, ask
from ..words.text import joined
from .secret import as_superuser


def hung(folder: Path, ports: Mapping[str, int], name: str) -> str:
    """What is seen of one that hangs; empty for every other, and for no name.

    folder, ports: the cluster's.
    """
    if not name:
        return ""
    seen = ask(as_superuser(folder, ports[name]))
    if seen.kind is not Kind.HUNG:
        return ""
    return joined(" ", [name, str(seen)])
