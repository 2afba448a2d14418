"""What differed between two runs, as their journals say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..postgres import conf
from ..words import outcomes
from ..words.language import decimal
from ..words.legible import legible
from ..words.text import mark, t
from . import facts, records
from .facts import Facts
from .runs import Run

NOTED = "durations"  # told, but no difference: no two runs take the same time
# A duration is noted when it is more than so many times the other, and so much longer.
TIMES, SECONDS = 2, 1.0
SHA256 = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
GROUPS = {
    "journal": mark("journal"),
    "run": mark("run"),
    "parameters": mark("parameters"),
    "versions": mark("versions"),
    "chapters": mark("chapters"),
    "steps": mark("steps"),
    "checks": mark("checks"),
    "settings": mark("settings"),
    NOTED: mark("durations"),
}
ENDING = ("run", "chapters", "steps", "checks")  # groups that tell how something ended


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; None where a run does not have it."""

    group: str
    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        old, new = self._shown(self.old), self._shown(self.new)
        if self.old is None:
            return legible(f"+ {self.name}: {new}")
        if self.new is None:
            return legible(f"- {self.name}: {old}")
        if "\n" not in old + new:
            return legible(f"  {self.name}: {old} → {new}")
        lines = conf.diff(f"{old}\n", f"{new}\n", "").splitlines()
        without_files = lines[2:]  # their names: there are none
        return legible("\n    ".join([f"  {self.name}:", *without_files]))

    def _shown(self, value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if self.group in ENDING:
            return outcomes.said(text) or t("(nothing)")
        if self.group == NOTED:
            return decimal(text)
        return f"{text[:19]}…" if SHA256.fullmatch(text) else text or t("(nothing)")


def compare(old: Run, new: Run) -> list[Difference]:
    """Everything that differs, by group; the group "durations" is for information."""
    kinds: dict[str, Callable[[Run], Facts]] = {
        "run": facts.ending,
        "parameters": facts.parameters,
        "versions": facts.versions,
        "chapters": facts.chapters,
        "steps": facts.steps,
        "checks": facts.checks,
    }
    if facts.retold(old, new):
        kinds["checks"] = facts.verdicts
    kinds["settings"] = facts.settings if old.of("state") and new.of("state") else facts.edited
    called = facts.renamed(old, new)
    found = [
        d
        for group, of in kinds.items()
        for d in _different(group, *(_as_called(of(run), called) for run in (old, new)))
    ]
    return [*_unsure(old, new), *found, *_reordered(old, new, called), *_slower(old, new, called)]


def differs(found: list[Difference]) -> bool:
    """Whether the runs differ in more than how long they took."""
    return any(d.group != NOTED for d in found)


def text(old: Run, new: Run, found: list[Difference]) -> str:
    """The differences for people, in groups."""
    lines = [f"--- {_named(old)}", f"+++ {_named(new)}"]
    if not differs(found):
        steps, checks = (len(new.of(kind)) for kind in ("step", "check"))
        told = t("nothing differs: {steps} steps, {checks} checks", steps=steps, checks=checks)
        lines.append(told)
    for group in dict.fromkeys(d.group for d in found):
        lines.append(t(GROUPS[group]))
        lines += [f"  {line}" for d in found if d.group == group for line in str(d).splitlines()]
    return "\n".join(lines)


def _unsure(old: Run, new: Run) -> Iterator[Difference]:
    """What keeps two journals from being compared, even where it is the same in both."""
    found = _doubts(new)
    for name, was in _doubts(old).items():
        if was or found[name]:
            yield Difference("journal", name, was, found[name])


def _doubts(run: Run) -> dict[str, int]:
    broken = t("the first line that does not carry the hash of the line before")
    return {
        t("lines that are no records"): run.unusable,
        broken: run.journal.first_broken_line() or 0,
        t("it tells of no run, no step and no check"): not (
            run.of("step") or run.of("check") or run.opening
        ),
    }


def _different(group: str, old: Facts, new: Facts) -> Iterator[Difference]:
    old, new = _as_known(old, new), _as_known(new, old)
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            yield from _different(group, _below(name, was), _below(name, now))
        elif was != now:
            yield Difference(group, name, _first(was), _first(now))


def _as_known(found: Facts, other: Facts) -> Facts:
    """The facts, where one of the runs does not know something: a server gave it no answer."""
    unknown = tuple(f"{name}." for name, value in other.items() if value is None)
    kept = {name: value for name, value in found.items() if not name.startswith(unknown)}
    for name, value in found.items():
        if value is None and any(known.startswith(f"{name}.") for known in other):
            kept[name] = t("unknown")
    return kept


def _as_called(found: Mapping[str, Any], called: Mapping[str, str]) -> dict[str, Any]:
    """The facts by today's names."""
    return {called.get(name, name): value for name, value in found.items()}


def _below(name: str, found: Facts) -> Facts:
    return {f"{name}, {key}": value for key, value in found.items()}


def _first(value: Any) -> Any:
    """Of several facts the first, which says how it ended."""
    return next(iter(value.values())) if isinstance(value, dict) else value


def _reordered(old: Run, new: Run, called: Mapping[str, str]) -> Iterator[Difference]:
    """The first of the steps that both have which comes at another place."""
    was, now = (_as_called(facts.steps(run), called) for run in (old, new))
    both = [n for n in was if n in now], [n for n in now if n in was]
    for first, second in zip(*both, strict=True):
        if first != second:
            yield Difference("steps", t("order, from here on"), first, second)
            return


def _slower(old: Run, new: Run, called: Mapping[str, str]) -> Iterator[Difference]:
    """Steps that ended alike and took much longer in one of the runs."""
    was, now = (_as_called(dict(facts.counted(run, "step")), called) for run in (old, new))
    for name in (n for n in was if n in now and was[n].get("outcome") == now[n].get("outcome")):
        times = [records.seconds(step) for step in (was[name], now[name])]
        short, long = sorted(times)
        if long > TIMES * short and long - short > SECONDS:
            yield Difference(NOTED, name, *(f"{seconds:.1f} s" for seconds in times))


def _named(run: Run) -> str:
    project = facts.mapping(run.opening.get("params")).get("project", "?")
    status = outcomes.said(run.status)
    named = t("{run} (project {project}, {status})", run=run.name, project=project, status=status)
    return legible(named)
