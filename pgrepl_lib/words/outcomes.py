"""How runs, chapters, steps and checks ended, in words: records have identifiers."""

from __future__ import annotations

from .text import mark, t

WORDS = {
    "completed": mark("completed"),
    "failed": mark("failed"),
    "interrupted": mark("interrupted"),
    "killed": mark("killed"),
    "running": mark("running"),
    "manual": mark("manual"),
    "missing": mark("missing"),
    "misnamed": mark("misnamed"),
    "not reached": mark("not reached"),
    "changed": mark("changed"),
    "unchanged": mark("unchanged"),
    "expected to fail": mark("expected to fail"),
    "passed": mark("passed"),
    "not tried": mark("not tried"),
}


def said(outcome: str) -> str:
    """An outcome in the language that is spoken; another text as it is."""
    return t(WORDS[outcome]) if outcome in WORDS else outcome
