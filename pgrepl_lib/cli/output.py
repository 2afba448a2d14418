"""What a command answers: as JSON, or as text for people."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..doors import terminal
from ..words import outcomes
from ..words.legible import legible
from ..words.text import joined, mark, t

WHERE = mark("project {project}, engine {engine}, folder {folder}")
COUNTED = mark(
    "{status}: {changed} steps changed, {unchanged} unchanged; "
    "{passed} checks passed, {failed} failed"
)
HEADS = (  # of tables; the others are PostgreSQL's own words, or stand in other rooms
    mark("name"),
    mark("role"),
    mark("host"),
    mark("port"),
    mark("user"),
    mark("version"),
    mark("state"),
    mark("lag_bytes"),
    mark("lag_seconds"),
    mark("upstream"),
    mark("run"),
    mark("status"),
    mark("changed"),
    mark("passed"),
    mark("failed"),
    mark("not_tried"),
    mark("chapters"),
    mark("folder"),
    mark("project"),
    mark("engine"),
    mark("primary"),
    mark("replicas"),
    mark("exercise"),
    mark("number"),
    mark("chapter"),
    mark("title"),
    mark("hints"),
    mark("minutes"),
    mark("seconds"),
    mark("login"),
    mark("password"),
    mark("port range"),
    mark("notebooks"),
    mark("instances"),
    mark("memory (MB)"),
    mark("processes"),
)


def give(as_json: bool, result: Any, text: str, *, styled: bool = False) -> None:
    """A command's result, on standard output: as JSON, or as text for people.

    styled: the text has our own colours in it; what came from outside was made legible before.
    """
    if as_json:
        text = json.dumps(result, indent=2, default=str)
    terminal.give(text, styled=styled)


def give_change(cluster: Any, as_json: bool, text: str, **more: Any) -> None:
    """The result of a change: in JSON who is what now, and what else there is to say."""
    give(as_json, {"project": cluster.params.project, **more, **cluster.topology.plain()}, text)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Rows with the same keys, as columns; whatever a value holds, it stays in its row."""
    table: list[list[str]] = [[t(head) for head in rows[0]]]
    table += [[_cell(name, value) for name, value in row.items()] for row in rows]
    widths = [max(len(r[i]) for r in table) for i in range(len(table[0]))]
    terminal.give(
        "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in table
        )
    )


def print_status(seen: dict[str, Any]) -> None:
    """The document of `status.status`, for people."""
    from ..checks import replay

    names = ("project", "engine", "folder")
    terminal.give(t(WHERE, **{name: seen[name] for name in names}))
    if seen["operation"]:
        terminal.give(seen["operation"]["told"])
    for what in ("outdated", "certificates"):
        if seen[what]:
            terminal.give(seen[what])
    instances = [{**each} for each in seen["instances"]]
    for each in instances:
        if stands := replay.told(each.pop("replay")):
            terminal.give(joined(": ", [each["name"], stands]))
    for table in (instances, seen["replication"]):
        terminal.give()
        if table:
            print_table(table)
        else:
            terminal.give(t("(no replica is connected)"))


@contextlib.contextmanager
def held_back(quiet: bool) -> Iterator[None]:
    """With quiet, what is told on standard error is told only if the block fails.

    A scheduler mails whatever is printed.
    """
    if not quiet:
        yield
        return
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            yield
    except BaseException:
        terminal.tell(told.getvalue(), end="")
        raise


def show_run(folder: Path | None, as_json: bool, error: BaseException | None = None) -> None:
    """How a run ended: a result, also with an error where that is JSON.

    Else the error's own message is still to come.
    """
    from ..evidence.report import FILE as REPORT

    told: dict[str, Any] = {}
    if error:
        told["error"] = str(error) or t("interrupted")
    if folder is None or not folder.exists():
        if as_json:
            give(True, {"run": None, "status": "not begun", **told}, "")
        return
    summary, report = _summary(folder), folder / REPORT
    parts = [t("evidence: {folder}", folder=folder), t("report: {file}", file=report)]
    text = "\n".join([_counted(summary), *parts])
    if error and not as_json:
        terminal.tell(text)
        return
    left = report if report.exists() else None
    give(as_json, {**summary, **told, "folder": folder, "report": left}, text)


def _summary(folder: Path) -> dict[str, Any]:
    from ..journal.runs import SUMMARY, Run

    try:
        return dict(json.loads((folder / SUMMARY).read_text("utf-8")))
    except (OSError, ValueError):  # a disk that is full may hold no more than the journal
        run = Run(folder)
        return {"run": run.name, "status": run.status, **run.counts()}


def _counted(summary: dict[str, Any]) -> str:
    steps, checks = summary["steps"], summary["checks"]
    text = t(
        COUNTED,
        status=outcomes.said(summary["status"]),
        changed=steps["changed"],
        unchanged=steps["unchanged"],
        passed=checks["passed"],
        failed=checks["failed"],
    )
    if untried := checks.get("not_tried"):
        return joined(", ", [text, t("{count} not tried", count=untried)])
    return text


def _cell(column: str, value: object) -> str:
    """In its row, whatever it holds."""
    if value is None:
        return ""
    said = str(value)
    if column in ("role", "state", "status"):
        said = t(said)
    return legible(said).replace("\n", "␊")


def give_done(
    cluster: Any, as_json: bool, plan: bool, work: Callable[[], object], told: str
) -> None:
    """Work that nobody is asked about: done, with its result; or only planned."""
    if plan:
        give_planned(cluster, as_json, work)
        return
    work()
    give_change(cluster, as_json, told)


def give_planned(
    cluster: Any, as_json: bool, work: Callable[[], object], losses: Sequence[str] = ()
) -> None:
    """The steps that this work would do, with commands and edits; losses: what would be lost."""
    from ..steps.planning import changes, only_planned

    with only_planned(cluster) as planned:
        work()
    plan: list[dict[str, Any]] = []
    lines: list[str] = []
    for each in changes(planned):
        facts = {"title": each.title, "commands": each.commands, "diff": each.diff}
        plan.append({**facts, "note": each.note})
        lines.append(f"{len(plan)}. {each.title}")
        lines += [f"   ({line})" for line in filter(None, [each.note])]
        lines += [f"   $ {command}" for command in each.commands]
        lines += [f"   {line}" for line in each.diff.splitlines()]
    give(as_json, plan, "\n".join(lines))
    for line in (*losses, t("nothing was changed")):
        terminal.tell(line)
