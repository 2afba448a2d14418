"""A run's verdict: one plain sentence for the reader of its report, and its sign."""

from __future__ import annotations

from dataclasses import dataclass

from ..journal.audit import said
from ..journal.runs import Chapter, Run
from ..words.text import Text, counted, joined, mark, t

GOOD, BAD, STOPPED = ("✔", "good"), ("✘", "bad"), ("■", "stopped")
OPEN, UNPROVEN, BY_HAND = ("…", "open"), ("○", "open"), ("✎", "open")
# By a run's status: its sign, and the sentence with where it stopped and what was done until then.
ENDED = {
    "completed": (GOOD, mark("Completed: {counts}.")),
    "failed": (BAD, mark("Failed{place}. Up to there, {counts}.")),
    "interrupted": (
        STOPPED,
        mark("Interrupted{place}. Up to there, {counts}. Run again: it goes on where it stopped."),
    ),
    "killed": (
        STOPPED,
        mark(
            "Interrupted without a record of its end{place}: the process was killed, or the "
            "machine stopped. Up to there, {counts}. Run again: it goes on where it stopped."
        ),
    ),
    "running": (OPEN, mark("Under way{place}: so far, {counts}.")),
    "manual": (BY_HAND, mark("Work outside a run (notebooks and commands, one by one): {counts}.")),
}


@dataclass(frozen=True)
class Verdict:
    """sign and tone (good, bad, stopped or open) say the same as the text, for the eye."""

    sign: str
    tone: str
    text: str


def of(run: Run) -> Verdict:
    """How the run ended, in a sentence; a journal that was changed afterwards proves nothing."""
    if broken := run.journal.first_broken_line():
        return Verdict(*BAD, _changed(broken))
    if run.unusable:
        return Verdict(*BAD, _unusable(run.unusable))
    if not run.entries:
        return Verdict(*STOPPED, t("The record is empty."))
    checks, counts = run.counts()["checks"], _counts(run)
    if run.status in ("completed", "manual") and checks["failed"]:
        return Verdict(*BAD, t("There are checks that did not pass: {counts}.", counts=counts))
    if run.status == "completed" and not any(checks.values()):  # nobody complained, nobody looked
        return Verdict(*UNPROVEN, t("Completed, without a proof: {counts}.", counts=counts))
    if run.status not in ENDED:
        unknown = t(
            "The recorded end is not known ({status}): {counts}.", status=run.status, counts=counts
        )
        return Verdict(*STOPPED, unknown)
    sign, sentence = ENDED[run.status]
    return Verdict(*sign, t(sentence, counts=counts, place=_place(run)))


def _changed(line: int) -> Text:
    return t(
        "The record was changed: line {line} of journal.jsonl does not follow from the one "
        "before. What is read here may not be what happened.",
        line=line,
    )


def _unusable(lines: int) -> Text:
    return counted(
        lines,
        mark(
            "The record has 1 line without the form of a record. "
            "What is read here may not be all that happened."
        ),
        mark(
            "The record has {count} lines without the form of a record. "
            "What is read here may not be all that happened."
        ),
    )


def stopped_chapter(run: Run) -> Chapter | None:
    """The chapter in which a run stopped; None where it did not stop in one."""
    stopped = ("failed", "interrupted", "killed", "running")
    return next((c for c in run.chapters if c.status in stopped), None)


def outcomes(run: Run) -> Text:
    """How many steps ended how."""
    steps = run.counts()["steps"]
    parts: list[str] = [t("no step changed anything")]
    if changed := steps["changed"]:
        one, many = mark("1 step changed something"), mark("{count} steps changed something")
        parts = [counted(changed, one, many)]
    if unchanged := steps["unchanged"]:
        one, many = mark("1 was done already"), mark("{count} were done already")
        parts.append(counted(unchanged, one, many))
    if ended := steps["failed"] + steps["interrupted"]:
        parts.append(counted(ended, mark("1 did not end"), mark("{count} did not end")))
    if meant := steps.get("expected_to_fail", 0):
        one, many = mark("1 failed, as it should"), mark("{count} failed, as they should")
        parts.append(counted(meant, one, many))
    return joined(", ", parts)


def _counts(run: Run) -> Text:
    checks = run.counts()["checks"]
    passed, total, untried = checks["passed"], sum(checks.values()), checks.get("not_tried", 0)
    told: list[str] = [t("no check was made")]
    if total:
        told = [_passed(passed, total)]
    if untried:
        one, many = mark("1 could not be tried"), mark("{count} could not be tried")
        told.append(counted(untried, one, many))
    return joined("; ", [joined(", ", told), outcomes(run)])


def _passed(passed: int, total: int) -> Text:
    if total == 1:
        return t("{passed} of 1 check passed", passed=passed)
    one, many = mark("1 of {total} checks passed"), mark("{count} of {total} checks passed")
    return counted(passed, one, many, total=total)


def _place(run: Run) -> str:
    """Where it stopped, as it goes on in a sentence."""
    chapter = stopped_chapter(run)
    if not chapter:
        return ""
    if title := said(chapter.stopped_by(), "title"):
        return t(" in chapter {chapter}, at “{title}”", chapter=chapter.name, title=title)
    return t(" in chapter {chapter}", chapter=chapter.name)
