"""What PostgreSQL, Docker or the system said, in their own words: told as a quotation."""

from __future__ import annotations

from .text import Text, mark, t

SYSTEM = mark("the system")
LIBRARIES = {
    "psycopg": "PostgreSQL",
    "docker": "Docker",
    "requests": "Docker",
    "psutil": SYSTEM,
}


PROGRAM, LOG = mark("the program"), mark("the server's log")
POSTGRESQL, PYTHON = "PostgreSQL", "Python"


def line(words: str) -> str:
    """What of them has room in a line."""
    return "".join(words.strip().splitlines()[:1])[:160]


def quoted(who: str, words: str) -> Text:
    """A sentence that says who said it."""
    return t("{who} said: “{words}”", who=named(who), words=words.replace("\n", "\n    "))


def refused(words: str) -> Text:
    """Why a connection failed, of all that libpq says: the server's word, else what hindered it.

    libpq goes on with advice, which begins with a tab, and where it tried several addresses, with
    each.
    """
    lines = words.strip().splitlines() or [""]
    fatal = next((each for each in lines if "FATAL" in each), lines[0])
    return quoted(POSTGRESQL, fatal[-160:])


def named(who: str) -> str:
    """Who it was, in the language that is spoken: a name is the same in each."""
    return t(who) if who in (SYSTEM, PROGRAM, LOG) else who


def author(error: BaseException) -> str:
    """Whose error it is; empty where it is none of theirs."""
    roots = [kind.__module__.partition(".")[0] for kind in type(error).__mro__]
    who = next((LIBRARIES[root] for root in roots if root in LIBRARIES), "")
    if not who and isinstance(error, OSError):
        return SYSTEM
    return who
