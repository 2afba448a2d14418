"""The command line's verbs about what there is: projects, past runs, what can be made of those."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..doors import terminal
from ..params import Params
from ..words import language
from ..words.text import mark, t
from .group import EPILOG, LANG, LANGUAGE, main, option
from .options import FILE, JSON, Given, parameters, parameters_as_options, values
from .output import give, print_table

if TYPE_CHECKING:
    from ..journal.runs import Run

SHOWN_RUNS = 100
UNUSABLE = mark("pgrepl: run {run}: {count} lines of its journal are no records")


@main.command(epilog=EPILOG)
@parameters_as_options("workdir")
@JSON
def projects(given: Given, as_json: bool) -> None:
    """List all projects: in the default work folder, in that of -p workdir, and known elsewhere."""
    from .projects import known

    rows = [vars(p) for p in known(Params.parse(values(given)).workdir)]
    if as_json:
        terminal.give(json.dumps(rows, indent=2))
    elif rows:
        print_table(rows)
    else:
        terminal.give(t("there is no project yet"))


@main.command(epilog=EPILOG)
@parameters
@option("--all", "every", is_flag=True, help="Also those before the last 100.")
@JSON
def runs(given: Given, every: bool, as_json: bool) -> None:
    """List a project's last runs, with how each ended; a killed one never says completed.

    missing: the folder or its journal is gone. misnamed: the folder holds a run of another name.
    """
    from ..journal.runs import known

    found = known(Params.parse(values(given)).folder)
    older = 0
    if not every:
        older = max(0, len(found) - SHOWN_RUNS)
    found = found[older:]
    if older:
        terminal.tell(t("pgrepl: {count} older runs are not shown: --all", count=older))
    rows = [_row(r) for r in found]
    for run in (r for r in found if r.unusable):
        terminal.tell(t(UNUSABLE, run=run.name, count=run.unusable))
    if as_json:
        terminal.give(json.dumps(rows, indent=2))
    elif rows:
        print_table(rows)
    else:
        terminal.give(t("there is no run yet"))


def _row(run: Run) -> dict[str, Any]:
    """What is shown of a run."""
    counts, status = run.counts(), run.status
    if run.own_name != run.name:
        status = "misnamed"
    return {
        "run": run.name,
        "status": status,
        "changed": counts["steps"]["changed"],
        **counts["checks"],
        "not_tried": counts["checks"].get("not_tried", 0),
        "chapters": len(run.opening.get("chapters", [])),
        "folder": str(run.folder),
    }


@main.command(epilog=EPILOG)
@parameters
@click.argument("run", default="")
@option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file. [default: the run's report.html]",
)
@option(
    "--lang",
    **LANG,
    help="Its language. [default: that of the run's own report]",
)
@JSON
def report(
    given: Given,
    run: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write the report (HTML) of RUN, a run's name or a folder with a journal (else the last run),
    again."""
    from ..evidence import report, verdict
    from ..journal.runs import find

    found = find(Params.parse(values(given)).folder, run)
    wanted = click.get_current_context().meta.get(LANGUAGE) or found.language
    path = report.write(found, output, wanted)
    with language.speaking(wanted):
        said = verdict.of(found).text
    give(as_json, {"report": path, "status": found.status, "verdict": said}, str(path))


@main.command(epilog=EPILOG)
@option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file instead of standard output.",
)
def guide(output: Path | None) -> None:
    """Write the corrected document (Markdown, Portuguese): what the chapters displayed, to read and
    follow by hand."""
    from ..doors.files import write_atomic
    from ..evidence.guide import text

    if output:
        write_atomic(output, text())
    else:
        terminal.give(text(), end="")


@main.command(epilog=EPILOG)
@parameters
@click.argument("run", default="")
@option("--key", type=FILE, help="The signer's public key (PEM). [default: your own]")
@JSON
def verify(given: Given, run: str, key: Path | None, as_json: bool) -> None:
    """Check the signature, the journal and every file of RUN, a run's name or folder (else the last
    run), offline; or a participant's statement of completion, a file."""
    from ..evidence.signing import verification
    from ..journal.runs import Run

    if run and Path(run).is_file():
        _verify_completion(Path(run), key, as_json)
    folder = Params.parse(values(given)).folder
    if run and Path(run).is_dir():
        found = verification.verify(Run(Path(run).absolute()), key)
    else:
        found = verification.verify_in(folder, run, key)
    told = {"verified": found.ok, **vars(found), "findings": [vars(f) for f in found.findings]}
    give(as_json, told, str(found))
    sys.exit(int(not found.ok))


def _verify_completion(file: Path, key: Path | None, as_json: bool) -> None:
    from ..leading import completion

    found = completion.verify(file, key)
    give(as_json, completion.plain(found), str(found))
    sys.exit(int(not found.verified))


@main.command(epilog=EPILOG)
@parameters
@click.argument("old")
@click.argument("new")
@option(
    "--exit-code",
    is_flag=True,
    help="Exit with 1 where they differ, as `git diff --exit-code` does.",
)
@JSON
def diff(
    given: Given,
    old: str,
    new: str,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Show what differed between two runs, each a run's name or a folder with a journal, be it of
    another project."""
    from ..journal import compare
    from ..journal.runs import find

    folder = Params.parse(values(given)).folder
    one, other = find(folder, old), find(folder, new)
    found = compare.compare(one, other)
    told = {
        "old": str(one.folder),
        "new": str(other.folder),
        "differs": compare.differs(found),
        "differences": [vars(d) for d in found],
    }
    give(as_json, told, compare.text(one, other, found))
    sys.exit(int(exit_code and compare.differs(found)))
