"""What a server answers to somebody who comes to its door.

An exception says only that we got no answer to our question. A server that refuses us lives, one
that says nothing may go on at any moment, and where nothing can be heard nothing is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import psycopg

from ..errors import first_line
from ..words.quoted import POSTGRESQL, line, quoted
from ..words.text import Text, joined, mark, t
from . import ahead, db

SHOWN_SECONDS = 2  # for a look that is only shown, soon; libpq knows no shorter one
LOOK_SECONDS = 3  # for a look at how things are; monitoring gives up after ten
DECISION_SECONDS = 5  # before something is done to a server because it says nothing
SHORTEST = 0.5  # seconds that are left for a result, however late the connection came
MOST_AT_ONCE = 32
One = TypeVar("One")
Seen = TypeVar("Seen")


class Kind(StrEnum):
    """What kind of answer it is."""

    ANSWERS = mark("answers")
    REFUSES = mark("refuses us")
    CHANGING = mark("starting up or shutting down")
    HUNG = mark("hung")
    NOBODY = mark("nothing listens")
    UNKNOWN = mark("cannot know")


@dataclass(frozen=True)
class Answer:
    """One answer. detail: the SQLSTATE and the server's or the system's own words."""

    kind: Kind
    detail: str = ""

    @property
    def lives(self) -> bool:
        """Whether it has said something: nobody may take it for lost."""
        return self.kind in (Kind.ANSWERS, Kind.REFUSES, Kind.CHANGING)

    def __str__(self) -> str:
        return self.told

    @property
    def told(self) -> Text:
        """As a person reads it."""
        return joined(": ", filter(None, [t(self.kind.value), self.detail]))


def ask(at: db.Address, seconds: int = LOOK_SECONDS) -> Answer:
    """Ask a server for a query's result. seconds: for connection and result together."""
    seen = look(at, "select 1", seconds=seconds)
    return seen if isinstance(seen, Answer) else Answer(Kind.ANSWERS)


def look(
    at: db.Address, query: db.Query, values: Sequence[Any] = (), seconds: int = LOOK_SECONDS
) -> dict[str, Any] | Answer:
    """The first row of a query, empty where there is none; or what the server says instead.

    seconds: for connection and result together.
    """
    end = time.monotonic() + seconds
    try:
        with db.connect(at, seconds=seconds, limit=seconds) as connection:
            connection.limit = max(SHORTEST, end - time.monotonic())
            cursor = connection.execute(query, values or None)  # type: ignore[arg-type]
            return next(iter(cursor.fetchall()), {})
    except (psycopg.Error, OSError) as error:
        return meaning(error, at, seconds)


def meaning(error: Exception, at: db.Address, seconds: int = LOOK_SECONDS) -> Answer:
    """What it means that a connection to a server, or a query, ended with this error.

    psycopg tells no SQLSTATE of a connection that was refused, so the server is asked for it.
    """
    if isinstance(error, (db.NoAnswer, psycopg.errors.ConnectionTimeout)):
        return _silent(seconds)
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return _refusal(error.sqlstate, str(error))
    return _knock(at, str(error), seconds)


def ask_all(ask_one: Callable[[One], Seen], them: Iterable[One]) -> list[Seen]:
    """Ask all at the same time; one that hangs costs no more than itself."""
    with ThreadPoolExecutor(MOST_AT_ONCE, initializer=ahead.shared()) as pool:
        return list(pool.map(ask_one, them))


def _knock(at: db.Address, text: str, seconds: int) -> Answer:
    """text: what was said to our login, where the server now goes on to ask who we are."""
    words = {"user": at.user, "database": "postgres", "application_name": "pgrepl"}
    try:
        answer = db.start_up(at.host, at.port, words, seconds=seconds, sslmode=at.sslmode)
    except TimeoutError:
        return _silent(seconds)
    except ConnectionRefusedError:
        return Answer(Kind.NOBODY)
    except ConnectionError:
        answer = b""
    except OSError as error:
        return Answer(Kind.UNKNOWN, first_line(error))
    if refusal := db.refusal(answer):
        return _refusal(refusal["C"], refusal.get("M", ""))
    if answer[:1] == b"R":
        return Answer(Kind.REFUSES, quoted(POSTGRESQL, line(text)))
    return Answer(Kind.UNKNOWN, t("it closes the connection without a word"))


def _silent(seconds: int) -> Answer:
    return Answer(Kind.HUNG, t("no answer within {seconds} s", seconds=seconds))


def _refusal(sqlstate: str, text: str) -> Answer:
    """57P01 to 57P03: ended by an administrator or a crash, or not ready for connections yet."""
    changing = sqlstate in ("57P01", "57P02", "57P03")
    kind = Kind.CHANGING if changing else Kind.REFUSES
    return Answer(kind, joined(", ", [f"SQLSTATE {sqlstate}", quoted(POSTGRESQL, line(text))]))
