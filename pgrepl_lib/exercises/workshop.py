"""What a participant does with an exercise: start, check, hint, answer, solve, reset, end.

Each looks at the cluster as it is now, whoever has changed it meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg

from ..doors import show
from ..errors import ParameterError, PgreplError, StepFailed, first_line
from ..steps.cluster import Cluster
from ..steps.replicas import remove
from ..words.text import mark, t
from . import beginning, progress
from .chapters.all import ALL, find
from .progress import Attempt
from .registry import Exercise, Found, Known

NO_WAY = (PgreplError, psycopg.Error, OSError)
NOT_BEGUN = mark("The exercise {name} has not begun on this cluster.")
OVER = mark("The exercise {name} does not go on: the cluster was brought elsewhere since.")
GOES_ON = mark("“{title}” had begun already, and goes on")
NO_MORE = mark("That was the last hint. `pgrepl exercise solve {name}` solves it and shows how.")
TO_ANSWER = mark("Your answer ({form}): `pgrepl exercise answer {name} ANSWER`")
LOOK = mark("Where to look: {look}")


@dataclass
class Told:
    """What came of it. title, lines: for people. more: lines for who has no notebook before him."""

    title: str
    facts: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    more: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For a terminal."""
        return "\n".join([self.title, *(f"  {line}" for line in [*self.lines, *self.more])])

    def _ipython_display_(self) -> None:
        show.markdown("\n".join([f"**{self.title}**", "", *(f"- {line}" for line in self.lines)]))


def start(cluster: Cluster, name: str) -> Told:
    """Bring the cluster to the exercise's beginning; one that has begun already goes on."""
    found = find(cluster, name)
    cluster.look_again()
    before = _attempt(cluster, found)
    if before.began and not (before.right or before.over):
        return _told_begun(cluster, found, t(GOES_ON, title=t(found.title)))
    return _begin(cluster, found, "started")


def reset(cluster: Cluster, name: str) -> Told:
    """Bring back the exercise's beginning, whatever was done since."""
    return _begin(cluster, find(cluster, name), "reset")


def _begin(cluster: Cluster, found: Exercise, event: str) -> Told:
    cluster.look_again()
    beginning.require_set_up(cluster)
    with cluster.holding():
        facts = _prepare(cluster, found)
        progress.note(cluster, found.name, event, facts=dict(facts))
    return _told_begun(cluster, found, t("“{title}” begins", title=t(found.title)))


def _prepare(cluster: Cluster, found: Exercise) -> Known:
    """The exercise's beginning, and what its check has to know; nobody sees how."""
    with show.hidden(t("Preparing “{title}”", title=t(found.title))):
        beginning.make(cluster, _goes_on(cluster))
        return found.does.start(cluster)


def _told_begun(cluster: Cluster, found: Exercise, title: str) -> Told:
    name, task = found.name, cluster.addressed(t(found.task))
    more = [task, cluster.addressed(t("Then: `pgrepl exercise check {name}`", name=name))]
    if found.asks:
        form = t(found.asks)
        more.insert(1, cluster.addressed(t(TO_ANSWER, form=form, name=name)))
    return Told(title, {"exercise": name, "broken": found.broken}, more=more)


def check(cluster: Cluster, name: str) -> Told:
    """Look at the cluster: what is right, what is missing, and where to look."""
    found = find(cluster, name)
    attempt = _begun(cluster, found)
    looked = _look(cluster, found, attempt.known)
    right, missing = all(f.holds for f in looked), [f.name for f in looked if not f.holds]
    progress.note(cluster, found.name, "checked", passed=right, missing=missing)
    title = t("Not yet")
    if right:
        title = t("Right!")
    plain = [
        {"name": f.name, "claim": f.claim, "holds": f.holds, "seen": f.seen, "look": f.look}
        for f in looked
    ]
    facts = {"exercise": found.name, "right": right, "missing": missing, "found": plain}
    return Told(title, facts, [_line(cluster, each) for each in looked])


def _look(cluster: Cluster, found: Exercise, known: Known) -> list[Found]:
    """As far as the servers answer."""
    looked: list[Found] = []
    try:
        looked.extend(found.does.check(cluster, known))
    except NO_WAY as error:
        where = t("`pgrepl status` says who answers")
        looked.append(Found("answers", t("the servers answer"), False, first_line(error), where))
    return looked


def _line(cluster: Cluster, found: Found) -> str:
    if found.holds:
        return f"✔ {found.claim}"
    where = t(LOOK, look=found.look)
    if found.seen:
        return cluster.addressed(f"✘ {found.claim} ({found.seen}). {where}")
    return cluster.addressed(f"✘ {found.claim}. {where}")


def hint(cluster: Cluster, name: str) -> Told:
    """The next hint; the last one again where there are no more."""
    found = find(cluster, name)
    taken = _begun(cluster, found).hints
    number = min(taken + 1, len(found.hints))
    lines = [cluster.addressed(t(found.hints[number - 1]))]
    if number == len(found.hints):
        lines.append(cluster.addressed(t(NO_MORE, name=found.name)))
    progress.note(cluster, found.name, "hint", number=number)
    title = t("Hint {number} of {count}", number=number, count=len(found.hints))
    return Told(title, {"exercise": found.name, "hint": number, "of": len(found.hints)}, lines)


def answer(cluster: Cluster, name: str, words: str) -> Told:
    """Leave an answer, which the check will look at; a later one counts instead."""
    found = find(cluster, name)
    if not found.asks:
        cause = t("The exercise {name} asks for no answer.", name=found.name)
        remedy = cluster.addressed(t("`pgrepl exercise check {name}`", name=found.name))
        raise ParameterError(cause, remedy=remedy)
    _begun(cluster, found)
    progress.note(cluster, found.name, "answered", answer=words)
    return Told(t("Your answer is noted"), {"exercise": found.name, "answer": words}, [repr(words)])


def solve(cluster: Cluster, name: str) -> Told:
    """Solve it by steps, which are shown with their commands.

    From where it is now; where that does not do, from its beginning.
    """
    found = find(cluster, name)
    known: Known = _begun(cluster, found).known
    with cluster.holding(), show.progress(t("Solving “{title}”", title=t(found.title))):
        try:
            words, steps = _solution(cluster, found, known)
        except NO_WAY:
            known = _prepare(cluster, found)
            words, steps = _solution(cluster, found, known)
    progress.note(cluster, found.name, "solved", facts={**known, "answer": words})
    for each in steps:
        show.step(*each)
    return _told_solved(found, words, steps)


def _solution(cluster: Cluster, found: Exercise, known: Known) -> tuple[str, list[show.Step]]:
    """The answer and the steps; raises `StepFailed` where it is not right with them."""
    with show.kept() as steps:
        words = found.does.solve(cluster, known)
        for replica in cluster.replicas:
            replica.wait_streaming()
    looked = _look(cluster, found, {**known, "answer": words})
    if lacking := [each.claim for each in looked if not each.holds]:
        remedy = cluster.addressed(t("`pgrepl exercise reset {name}`", name=found.name))
        raise StepFailed(t("This does not solve it."), looked_at=lacking, remedy=remedy)
    return words, steps


def _told_solved(found: Exercise, words: str, steps: list[show.Step]) -> Told:
    facts: dict[str, Any] = {"exercise": found.name, "commands": []}
    lines, typed = list[str](), list[str]()
    for _, _, commands, diff in steps:
        facts["commands"] += map(str, commands)
        typed += [*(f"$ {command}" for command in commands), *diff.splitlines()]
    if found.asks:
        facts["answer"] = words
        lines.append(t("the answer: {answer}", answer=words))
    return Told(t("Solved"), facts, lines, typed)


def end(cluster: Cluster, replicas: int = 0) -> Told:
    """Leave the exercises: the cluster is healthy, and nothing of them is left.

    replicas: how many it is to have; 0: those that it has.
    """
    cluster.look_again()
    beginning.require_set_up(cluster)
    with cluster.holding(), show.hidden(t("Putting the cluster back")):
        beginning.make(cluster, _goes_on(cluster), replicas)
        if replicas:
            for name in cluster.topology.replicas[replicas:]:
                remove(cluster, name, confirm=True)
        progress.note(cluster, "", progress.ENDED)
    return Told(t("The cluster is as before the exercises"))


def _goes_on(cluster: Cluster) -> bool:
    """Whether an exercise was begun on this cluster and not left since."""
    last = [Attempt(), *progress.attempts(cluster.folder).values()][-1]
    return last.cluster == cluster.engine.id and not last.over


def listing(cluster: Cluster) -> list[dict[str, Any]]:
    """All exercises, and how far each is."""
    return [
        {"exercise": e.name, "number": e.place, "chapter": e.chapter, "title": t(e.title)}
        | _attempt(cluster, e).plain()
        for e in ALL.values()
    ]


def _attempt(cluster: Cluster, found: Exercise) -> Attempt:
    """The one that was begun on this cluster."""
    last = progress.attempts(cluster.folder).get(found.name, Attempt())
    if last.cluster == cluster.engine.id:
        return last
    return Attempt(ever=last.ever)


def _begun(cluster: Cluster, found: Exercise) -> Attempt:
    cluster.look_again()
    beginning.require_set_up(cluster)
    attempt = _attempt(cluster, found)
    remedy = cluster.addressed(t("`pgrepl exercise start {name}`", name=found.name))
    if not attempt.began:
        raise StepFailed(t(NOT_BEGUN, name=found.name), remedy=remedy)
    if attempt.over:
        raise StepFailed(t(OVER, name=found.name), remedy=remedy)
    return attempt
