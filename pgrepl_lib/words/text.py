"""Sentences for people: written in English, said in the language that is spoken (gettext).

A text knows what it was made of, so that what was recorded in one language can be read in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import Any, Self

from .language import ENGLISH, PORTUGUESE, spoken
from .verbs import completed

CATALOGUES = Path(__file__).parent / "catalogues"
PLAIN = (str, int, float)
Facts = dict[str, Any]  # of a text: "message" and "values", or "joined" and "parts"


class Text(str):
    """A sentence as it was said. facts: what it is in any language, fit for JSON."""

    facts: Facts

    @classmethod
    def of(cls, said: str, facts: Facts) -> Self:
        """A text from what was said and what it was made of."""
        made = cls(said)
        made.facts = facts
        return made


def t(message: str, /, **values: object) -> Text:
    """The message in the language that is spoken, with these values in its {places}.

    message: English, a literal, so that it is found for the catalogues (`make words`); what is
    not in them, such as PostgreSQL's own words, stays as it is.
    """
    if isinstance(message, Text):
        return message
    kept = {name: _fact(value) for name, value in values.items()}
    facts = {"message": message, "values": kept} if kept else {"message": message}
    return Text.of(_translated(message, values), facts)


def counted(count: int, one: str, many: str, **values: object) -> Text:
    """One of two messages, which `mark` found, by how many there are: {count}."""
    return t(one if count == 1 else many, count=count, **values)


def mark(message: str) -> str:
    """A message that is said later, by `t`: for what is written outside a function."""
    return message


def joined(separator: str, parts: Iterable[str]) -> Text:
    """Several texts as one."""
    found = list(parts)
    facts = {"joined": separator, "parts": [_fact(part) for part in found]}
    return Text.of(separator.join(found), facts)


def again(facts: object, otherwise: str = "") -> str:
    """What was recorded of a text, in the language that is spoken now.

    otherwise: what was said then, for a record that is not ours or of another version.
    """
    try:
        return _again(facts)
    except (AttributeError, LookupError, TypeError, ValueError):
        return otherwise


def _again(facts: object) -> str:
    """Raises one of several errors for what is no record of a text."""
    match facts:
        case str():
            return facts
        case {"options": str(options), **rest}:
            return completed(_again(rest), options)
        case {"joined": str(separator), "parts": list(parts)}:
            return joined(separator, [_part(part) for part in parts])
        case {"message": str(message), **rest} if _is_ours(message):
            values: Any = rest.get("values", {})
            return t(message, **{name: _value(fact) for name, fact in values.items()})
    raise LookupError("no text of ours")


def _part(fact: object) -> str:
    """Of a longer text. What no catalogue has is a word of PostgreSQL's: alike in each language."""
    match fact:
        case {"message": str(message), **rest} if not rest:
            return again(fact, message)
    return _again(fact)


def recorded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record's facts are texts, each by its name and by what it was made of."""
    return {name: value.facts for name, value in facts.items() if isinstance(value, Text)}


def _translated(message: str, values: Mapping[str, object]) -> str:
    said = message
    if (language := spoken()) != ENGLISH:
        said = _catalogue(language).gettext(message) or message
    return said.format(**values) if values else said


def _fact(value: object) -> object:
    said = value if isinstance(value, PLAIN) else str(value)
    return said.facts if isinstance(said, Text) else said


def _value(fact: object) -> object:
    if isinstance(fact, dict):
        return _part(fact)
    if isinstance(fact, PLAIN):
        return fact
    raise TypeError("no value of a text")


class _Nothing(NullTranslations):
    """Below all catalogues: what none of them has."""

    def gettext(self, message: str) -> str:
        return ""


@cache
def _catalogue(language: str) -> NullTranslations:
    """All rooms' catalogues of a language; it gives nothing for what they do not have."""
    found: NullTranslations = _Nothing()
    for path in sorted((CATALOGUES / language / "LC_MESSAGES").glob("*.mo")):
        with path.open("rb") as file:
            room = GNUTranslations(file)
        room.add_fallback(found)
        found = room
    return found


def _is_ours(message: str) -> bool:
    """Whether a record's message is one of ours, and no text that somebody wrote into it."""
    return bool(_catalogue(PORTUGUESE).gettext(message))
