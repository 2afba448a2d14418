"""What a command answers: as JSON, or as text for people."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..doors import terminal
from ..words.legible import legible


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
    table = [
        list(rows[0]),
        *(
            ["" if v is None else legible(str(v)).replace("\n", "␊") for v in r.values()]
            for r in rows
        ),
    ]
    widths = [max(len(r[i]) for r in table) for i in range(len(table[0]))]
    terminal.give(
        "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in table
        )
    )


def print_status(seen: dict[str, Any]) -> None:
    """The document of `status.status`, for people."""
    where = f"project {seen['project']}, engine {seen['engine']}, folder {seen['folder']}"
    terminal.give(where)
    if seen["operation"]:
        terminal.give(seen["operation"]["told"])
    if seen["outdated"]:
        terminal.give(seen["outdated"])
    for table in (seen["instances"], seen["replication"]):
        terminal.give()
        print_table(table) if table else terminal.give("(no replica is connected)")


@contextlib.contextmanager
def held_back(quiet: bool) -> Iterator[None]:
    """With quiet, what is told on standard error is told only if the block fails.

    A scheduler mails whatever is printed.
    """
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told) if quiet else contextlib.nullcontext():
            yield
    except BaseException:
        terminal.tell(told.getvalue(), end="")
        raise


def show_run(folder: Path | None, as_json: bool, error: BaseException | None = None) -> None:
    """How a run ended: a result, also with an error where that is JSON.

    Else the error's own message is still to come.
    """
    from ..evidence.report import FILE as REPORT

    told: dict[str, Any] = {"error": str(error) or "interrupted"} if error else {}
    if folder is None or not folder.exists():
        if as_json:
            give(True, {"run": None, "status": "not begun", **told}, "")
        return
    summary, report = _summary(folder), folder / REPORT
    text = f"{_counted(summary)}\nevidence: {folder}\nreport: {report}"
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
    text = (
        f"{summary['status']}: {steps['changed']} steps changed, {steps['unchanged']} unchanged; "
        f"{checks['passed']} checks passed, {checks['failed']} failed"
    )
    if untried := checks.get("not_tried"):
        text += f", {untried} not tried"
    return text
