"""The command line's verb for looking ahead: plan, also as `run --plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import ParameterError
from ..params import Params
from ..words.commands import addressed
from ..words.legible import legible
from .group import EPILOG, main
from .options import JSON, parameters, values, with_made
from .output import give

if TYPE_CHECKING:
    from ..runner.plan import Planned

SIGNS = {
    "would change": ("+", "green"),
    "unchanged": (" ", ""),
    "would be made": ("?", ""),
    "would stop the run": ("!", "red"),
}
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@main.command(epilog=EPILOG)
@parameters
@click.option(
    "--from", "first", default="00", help="First chapter, by number or name. [default: 00]"
)
@click.option("--to", "last", default="03", help="Last chapter, by number or name. [default: 03]")
@JSON
def plan(
    project: str | None,
    engine: str | None,
    given: tuple[tuple[str, str], ...],
    first: str,
    last: str,
    as_json: bool,
) -> None:
    """Say what `run` would change on the cluster as it is, step by step, with diffs; nothing is touched."""
    from ..runner.task import fresh

    task = fresh(with_made(values(project, engine, given)), first, last)
    show_plan(task.values, task.chapters, as_json)


def show_plan(given: Mapping[str, Any], chapters: Sequence[str], as_json: bool) -> None:
    """Print the plan of these chapters; raises `ParameterError` for those that operate the cluster."""
    from ..journal.chapter import SET_UP
    from ..runner.plan import plan as look_ahead

    if beyond := [c for c in chapters if c not in SET_UP]:
        remedy = "plan 00 to 03; `pgrepl switchover --plan` and `pgrepl failover --plan` say what those would do"
        cause = (
            f"There is no plan of {', '.join(beyond)}: what they do depends on what they do before."
        )
        raise ParameterError(cause, remedy=addressed(remedy, Params.parse(given)))
    found = look_ahead(given, chapters)
    give(as_json, [vars(p) for p in found], _text(found), styled=True)


def _text(found: Sequence[Planned]) -> str:
    """Chapter by chapter; the colours are taken out where standard output is no terminal."""
    lines: list[str] = []
    for number, each in enumerate(found):
        if not number or each.chapter != found[number - 1].chapter:
            lines.append(click.style(each.chapter, bold=True))
        sign, colour = SIGNS[each.outcome]
        title = legible(f"  {sign} {each.outcome:<13}  {each.title}")
        lines.append(click.style(title, fg=colour or None))
        if each.outcome == "would change":
            lines += [
                f"      {'$ ' if not i else '  '}{line}"
                for c in each.commands
                for i, line in enumerate(legible(c).splitlines())
            ]
            diff = legible(each.diff).splitlines()
            lines += ["      " + click.style(line, fg=COLOURS.get(line[:1])) for line in diff]
    steps = [p.outcome for p in found if p.kind == "step"]
    return "\n".join(
        [
            *lines,
            f"{steps.count('would change')} steps would change, {steps.count('unchanged')} unchanged",
        ]
    )
