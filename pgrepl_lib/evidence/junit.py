"""A run's checks as JUnit XML, which CI systems read: a suite for each chapter, a case for a check.

What stopped a run is an error, so that no system shows it green; a drill's step that fails on
purpose is none. Elements and attributes are those that both the Ant and the Jenkins schema know.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ..doors.files import write_atomic
from ..journal.audit import FILE as JOURNAL
from ..journal.audit import said
from ..journal.records import NO_RECORDS, check_verdict, seconds
from ..journal.runs import Chapter, Run
from ..journal.timeline import moment
from ..words.legible import legible
from ..words.text import counted, mark, t

FILE = "junit.xml"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
STOPPED = {
    "failed": mark("the chapter failed"),
    "interrupted": mark("the run was interrupted; run again to go on"),
    "killed": mark(
        "the run ended without a record of its end: it was killed, or the machine stopped; "
        "run again to go on"
    ),
    "running": mark("the run has not ended"),
}


def write(run: Run) -> Path:
    """Write `junit.xml` into the run's folder; returns where."""
    path = run.folder / FILE
    write_atomic(path, text(run))
    return path


def text(run: Run) -> str:
    """The document: the same run gives the same bytes."""
    root = Element("testsuites", name=legible(f"pgrepl {run.own_name}"))
    suites = (_suite(run, chapter) for chapter in run.chapters)
    root.extend(suite for suite in suites if len(suite) or run.opening)
    stopped = any(root.find(f".//{tag}") is not None for tag in ("error", "failure"))
    whole = _whole(run, stopped=stopped)
    root.extend([whole] if len(whole) else [])
    for element in (*root, root):
        _count(element)
    indent(root)
    return f"{HEAD}\n{tostring(root, encoding='unicode')}\n"


def _whole(run: Run, *, stopped: bool) -> Element:
    """What no chapter tells of the run. stopped: whether one of them tells what stopped it."""
    suite = Element("testsuite", name="pgrepl")
    if broken := run.journal.first_broken_line():
        changed = t(
            "line {line} does not follow from the one before: the journal was changed", line=broken
        )
        _error(suite, JOURNAL, "changed", changed)
    elif run.unusable:
        _error(suite, JOURNAL, "unusable", counted(run.unusable, *NO_RECORDS))
    elif run.status not in ("completed", "manual") and not stopped:
        _error(suite, "run", run.status, _stopped(run.status, mark("its end is not known")))
    elif run.opening and run.status == "completed" and not run.of("check"):
        SubElement(_case(suite, t("no check was made"), 0), "skipped")
    return suite


def _stopped(status: str, otherwise: str) -> str:
    return t(STOPPED.get(status, otherwise))


def _suite(run: Run, chapter: Chapter) -> Element:
    suite = Element("testsuite", name=legible(chapter.name or "pgrepl"))
    if host := str(run.opening.get("host", "")):
        suite.set("hostname", legible(host))
    if began := moment(chapter.began or next((e.get("time") for e in chapter.entries), "")):
        suite.set("timestamp", began.strftime("%Y-%m-%dT%H:%M:%S"))
    for check in chapter.of("check"):
        _check(suite, check)
    stopper = chapter.stopped_by()
    if stopper.get("kind") == "step" or (chapter.status in STOPPED and not stopper):
        title = said(stopper, "title") or chapter.name
        error = said(stopper, "error") or chapter.error
        cause = _stopped(chapter.status, mark("a step failed"))
        _error(suite, title, chapter.status, cause, error, seconds(stopper))
    elif not chapter.status and run.opening:
        SubElement(_case(suite, chapter.name, 0), "skipped")
    return suite


def _check(suite: Element, check: dict[str, Any]) -> None:
    title = said(check, "title") or str(check.get("name") or "check")
    case = _case(suite, title, seconds(check))
    verdict = check_verdict(check)
    if verdict == "not tried":
        SubElement(case, "skipped")
    elif verdict == "failed":
        expected, seen, hint = (said(check, name) for name in ("expected", "seen", "hint"))
        body = t(
            "expected: {expected}\nseen: {seen}\nwhat to do: {hint}",
            expected=expected,
            seen=seen,
            hint=hint,
        )
        _result(case, "failure", "CheckFailed", t("seen: {fact}", fact=seen), body)


def _error(
    suite: Element, title: str, kind: str, cause: str, error: str = "", took: float = 0
) -> None:
    _result(_case(suite, title, took), "error", kind or "failed", cause, error)


def _case(suite: Element, title: str, took: float) -> Element:
    facts = {"classname": f"pgrepl.{suite.get('name')}", "name": legible(title)}
    return SubElement(suite, "testcase", facts, time=f"{took:.3f}")


def _result(case: Element, tag: str, kind: str, message: str, body: str) -> None:
    SubElement(case, tag, type=kind, message=legible(message)).text = legible(body)


def _count(element: Element) -> None:
    """Give a suite, or all of them, the numbers of its cases."""
    cases = list(element.iter("testcase"))
    counts = {"tests": len(cases)}
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        counts[name] = sum(case.find(tag) is not None for case in cases)
    if element.tag == "testsuites":  # it has no such attribute
        counts.pop("skipped")
    for name, count in counts.items():
        element.set(name, str(count))
    took = sum(float(case.get("time", 0)) for case in cases)
    element.set("time", f"{took:.3f}")
