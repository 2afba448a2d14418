"""A run's checks as JUnit XML, which CI systems read: a suite for each chapter, a case for each check.

What stopped a run is an error, so that no system shows it green; a drill's step that fails on purpose is none. Elements
and attributes are those that both the Ant and the Jenkins schema know.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..doors.files import write_atomic
from ..journal.audit import FILE as JOURNAL
from ..journal.runs import Chapter, Run
from ..journal.timeline import moment
from ..words.legible import legible

FILE = "junit.xml"
STOPPED = {
    "failed": "the chapter failed",
    "interrupted": "the run was interrupted; run again to go on",
    "killed": "the run ended without a record of its end: it was killed, or the machine stopped; run again to go on",
    "running": "the run has not ended",
}


def write(run: Run) -> Path:
    """Write `junit.xml` into the run's folder; returns where."""
    path = run.folder / FILE
    write_atomic(path, text(run))
    return path


def text(run: Run) -> str:
    """The document: the same run gives the same bytes."""
    root = ElementTree.Element("testsuites", name=legible(f"pgrepl {run.own_name}"))
    root.extend(
        suite for suite in (_suite(run, c) for c in run.chapters) if len(suite) or run.opening
    )
    whole = ElementTree.Element("testsuite", name="pgrepl")
    if broken := run.journal.first_broken_line():
        _error(
            whole,
            JOURNAL,
            "changed",
            f"line {broken} does not follow from the one before: the journal was changed",
        )
    elif run.unusable:
        _error(
            whole,
            JOURNAL,
            "unusable",
            f"{run.unusable} of its lines are no records, or of a shape that no run writes",
        )
    elif run.status not in ("completed", "manual") and not [
        e for tag in ("error", "failure") for e in root.iter(tag)
    ]:
        _error(whole, "run", run.status, STOPPED.get(run.status, "its end is not known"))
    elif run.opening and run.status == "completed" and not run.of("check"):
        ElementTree.SubElement(_case(whole, "no check was made", 0), "skipped")
    root.extend([whole] if len(whole) else [])
    for element in (*root, root):
        _count(element)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suite(run: Run, chapter: Chapter) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=legible(chapter.name or "pgrepl"))
    if host := str(run.opening.get("host", "")):
        suite.set("hostname", legible(host))
    if began := moment(chapter.began or next((e.get("time") for e in chapter.entries), "")):
        suite.set("timestamp", began.strftime("%Y-%m-%dT%H:%M:%S"))
    for check in chapter.of("check"):
        case = _case(
            suite, str(check.get("title") or check.get("name") or "check"), check.get("seconds")
        )
        if not check.get("passed"):
            seen, expected, hint = (str(check.get(k, "")) for k in ("seen", "expected", "hint"))
            _result(
                case,
                "failure",
                "CheckFailed",
                f"seen: {seen}",
                f"expected: {expected}\nseen: {seen}\nwhat to do: {hint}",
            )
        elif check.get("tried") is False:
            ElementTree.SubElement(case, "skipped")
    stopper = chapter.stopped_by()
    if stopper.get("kind") == "step" or (chapter.status in STOPPED and not stopper):
        title, error = (
            str(stopper.get("title") or chapter.name),
            str(stopper.get("error") or chapter.error),
        )
        _error(
            suite,
            title,
            chapter.status,
            STOPPED.get(chapter.status, "a step failed"),
            error,
            stopper.get("seconds"),
        )
    elif not chapter.status and run.opening:
        ElementTree.SubElement(_case(suite, chapter.name, 0), "skipped")
    return suite


def _error(
    suite: ElementTree.Element, title: str, kind: str, cause: str, error: str = "", seconds: Any = 0
) -> None:
    _result(_case(suite, title, seconds), "error", kind or "failed", cause, error)


def _case(suite: ElementTree.Element, title: str, seconds: Any) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"pgrepl.{suite.get('name')}",
        name=legible(title),
        time=_seconds(seconds),
    )


def _result(case: ElementTree.Element, tag: str, kind: str, message: str, body: str) -> None:
    ElementTree.SubElement(case, tag, type=kind, message=legible(message)).text = legible(body)


def _count(element: ElementTree.Element) -> None:
    """Give a suite, or all of them, the numbers of its cases."""
    cases = list(element.iter("testcase"))
    counts = {
        "tests": len(cases),
        **{f"{t}s": sum(c.find(t) is not None for c in cases) for t in ("failure", "error")},
    }
    skipped = sum(c.find("skipped") is not None for c in cases)
    for name, count in {
        **counts,
        **({"skipped": skipped} if element.tag == "testsuite" else {}),
    }.items():
        element.set(name, str(count))
    element.set("time", _seconds(sum(float(c.get("time", 0)) for c in cases)))


def _seconds(given: Any) -> str:
    return (
        f"{given:.3f}"
        if isinstance(given, (int, float)) and math.isfinite(given) and given > 0
        else "0.000"
    )
