"""Whether a text holds English: by words that only English has, and by what our catalogues translate."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from functools import cache

from babel.messages.pofile import read_po

from pgrepl_lib.params import Params
from pgrepl_lib.words.language import PORTUGUESE
from pgrepl_lib.words.text import CATALOGUES

# What others said is quoted as they said it, in a sentence of ours that says who it was.
# A wide table cuts it short.
QUOTED = re.compile(r"(?:disse|⏳[^:]*): “(?:[^”]*”|.*?\.\.\.)")
CODE = re.compile(
    r"```.*?```|`[^`]*`|<style.*?</style>|<svg.*?</svg>|<[^>]*>|\x1b\[[0-9;]*m|\S*/\S*", re.DOTALL
)
ENGLISH = set(
    """about after again also already an and another any are at be because been before below
    between both but by cannot could does each else every from had has have how if into is it its
    many more most must not nobody nothing of only or other others our out own same several shall
    should since so such than that the their them then there these they this those through until
    was were what when where whether which while who whose why will with without would yet you
    your""".split()  # noqa: SIM905 - a list of them would be a page long
)
# What PostgreSQL calls something, too, or a parameter is called.
NAMES = {"database", "host", "lost", "primary", "replica", "state", "streaming", "timeline", "user"}
NAMES |= set(Params.model_fields)


def english_in(text: str) -> list[str]:
    """What of a text is English; empty for Portuguese, with whatever that quotes."""
    said = CODE.sub(" ", QUOTED.sub(" ", text))
    words = re.findall(r"\b[A-Z]?[^\W\dA-Z]+\b", said)
    found = [word for word in words if word.lower() in ENGLISH]
    return found + [piece for piece, pattern in messages().items() if pattern.search(said)]


@cache
def messages() -> dict[str, re.Pattern[str]]:
    """Each piece of a message that is said otherwise in Portuguese, and how it is found."""
    found = {}
    for path in (CATALOGUES / PORTUGUESE).rglob("*.po"):
        with path.open("rb") as file:
            for message in read_po(file):
                for piece in pieces(str(message.id), str(message.string)):
                    found[piece] = re.compile(rf"(?<![\w-]){re.escape(piece)}(?![\w-])")
    return found


def pieces(english: str, portuguese: str) -> Iterator[str]:
    """What stands between the places of a message and is not the same in the other language.

    Of a message that has places, pieces of one word are left out: many are in both languages.
    """
    for piece, *_ in string.Formatter().parse(english):
        piece = CODE.sub(" ", piece).strip(" .,:;()'“”\n")
        long_enough = piece == english or len(piece.split()) > 1
        if piece and long_enough and piece not in NAMES and piece not in portuguese:
            yield piece
