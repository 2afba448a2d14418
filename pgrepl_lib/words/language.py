"""Which language is spoken: Portuguese in a notebook, on the command line what its user wants."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ENGLISH, PORTUGUESE = "en", "pt_BR"
LANGUAGES = {"en": ENGLISH, "pt": PORTUGUESE}  # as `--lang` takes them
VARIABLES = ("PGREPL_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
_chosen = ""
_asked_for = ""


def in_notebook() -> bool:
    """Whether a kernel shows our output; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    return bool(ipython and getattr(ipython.get_ipython(), "kernel", None))


def spoken() -> str:
    """The language of what is said now."""
    if _chosen:
        return _chosen
    return PORTUGUESE if in_notebook() else ENGLISH


def speak(language: str) -> None:
    """Say everything in this language from now on; empty: as if nothing had been chosen."""
    global _chosen
    _chosen = language


def ask_for(language: str) -> None:
    """Speak this language because somebody asks for it, and not only for the locale's sake."""
    global _asked_for
    speak(language)
    _asked_for = language


def asked_for() -> str:
    """The language that PGREPL_LANG or `--lang` asked for; empty without either."""
    return _asked_for


def follow_environment() -> None:
    """Speak as the environment says."""
    ask_for(known(os.environ.get(VARIABLES[0], "")))
    speak(of_user())


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """The same for a block, as for a report that somebody else will read."""
    before = _chosen
    speak(language)
    try:
        yield
    finally:
        speak(before)


def known(name: str) -> str:
    """The language that a name such as `pt`, `pt-BR` or `pt_BR.UTF-8` means; empty for another."""
    return LANGUAGES.get(name.lower()[:2], "")


def decimal(number: str) -> str:
    """A number as the language writes it: 12.4, in Portuguese 12,4."""
    return number.replace(".", ",") if spoken() == PORTUGUESE else number


def of_user() -> str:
    """What the environment asks for: PGREPL_LANG, then the locale, else English."""
    wanted = (os.environ.get(variable, "") for variable in VARIABLES)
    return known(next(filter(None, wanted), "")) or ENGLISH
