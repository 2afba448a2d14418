"""Text from anywhere, made fit to be shown: nothing in it steers a terminal or a page."""

from __future__ import annotations

import re

ESCAPE_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])"
)  # ECMA-48
# What neither XML 1.0 nor HTML may hold; and what reorders the text around it without being seen
# (Unicode TR 9).
UNFIT = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


def legible(text: str) -> str:
    """The text without escape sequences; each other control character is a sign that is seen."""
    plain = ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n")
    return UNFIT.sub(_sign, plain)


def in_a_line(name: str) -> str:
    """A name from anywhere, which may hold newlines and makes no line of its own."""
    return legible(name).translate({ord("\t"): "␉", ord("\n"): "␊"})


def _sign(found: re.Match[str]) -> str:
    """Unicode has pictures of the old control characters (U+2400 and up); the others are named."""
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"
