"""How far `pg_basebackup --progress` is, in its own lines."""

import re


def percent(line: str) -> str:
    """The part that is done, or the line where it does not say that."""
    if found := re.search(r"(\d+)%", line):
        return f"{found[1]} %"
    return line.strip()[:60]
