"""A plan of chapters is what they then do: the same steps, and of what can be known the same commands and edits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from pgrepl_lib.journal.audit import said
from pgrepl_lib.journal.records import MEANT_TO_FAIL
from pgrepl_lib.steps.planning import Planned

DONE = {"would change": ("changed", MEANT_TO_FAIL), "unchanged": ("unchanged",)}
OTHER = {"replica": "replica-2", "replica-2": "replica"}


def assert_is_done(plan: Sequence[Planned], done: Sequence[dict[str, Any]]) -> None:
    """done: the entries of the journal for the same chapters."""
    for kind in ("step", "check"):
        planned = [p for p in plan if p.kind == kind]
        entries = [e for e in done if e["kind"] == kind]
        assert [(p.chapter, n) for p, n in numbered(planned)] == [
            (e["chapter"], n) for e, n in numbered(entries)
        ], kind
    steps = [e for e in done if e["kind"] == "step"]
    for chapter, found in groupby((p for p in plan if p.kind == "step"), key=lambda p: p.chapter):
        assert_chapter(list(found), [e for e in steps if e["chapter"] == chapter])


def numbered(found: Iterable[Any]) -> Iterator[tuple[Any, int]]:
    return ((each, number) for number, each in enumerate(found))


def assert_chapter(planned: list[Planned], done: list[dict[str, Any]]) -> None:
    titles = [said(e, "title") for e in done]
    if titles != [p.title for p in planned]:
        assert titles == as_chosen(planned), "another replica may have been more advanced"
        planned = planned[: first_note(planned)]
    for step, entry in zip(planned, done, strict=False):
        where = (step.chapter, step.cell, step.title)
        assert entry["outcome"] in DONE[step.outcome], where
        assert step.note != "" or entry["outcome"] != MEANT_TO_FAIL, where
        if not step.note:
            assert step.commands == [c["command"] for c in entry["commands"]], where
            assert edited(step.diff) == edited(entry["diff"]), where


def first_note(planned: list[Planned]) -> int:
    return next((n for n, step in enumerate(planned) if step.note), len(planned))


def as_chosen(planned: list[Planned]) -> list[str]:
    """The titles where a failover chooses the other replica: its name and the other's change places."""
    first = first_note(planned)
    later = [
        re.sub(r"\breplica(-2)?\b(?!-)", lambda m: OTHER[m[0]], p.title) for p in planned[first:]
    ]
    return [*(p.title for p in planned[:first]), *later]


def edited(diff: str) -> list[str]:
    """The lines; the place of those in a file that was not there yet cannot be known."""
    return [line for line in diff.splitlines() if line[:1] in ("+", "-")]
