"""The command line's verbs about past runs: runs, and what can be made of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from .cli import EPILOG, FILE, JSON, give, main, parameters, print_table, values
from .params import Params

Given = tuple[tuple[str, str], ...]


@main.command(epilog=EPILOG)
@parameters
@JSON
def runs(project: str | None, engine: str | None, given: Given, as_json: bool) -> None:
    """List the runs of a project, the oldest first, with how each ended; a killed one never says completed."""
    from .runs import Run, of_project

    def row(run: Run) -> dict[str, Any]:
        counts = run.counts()
        return {"run": run.name, "status": run.status, "changed": counts["steps"]["changed"], **counts["checks"],
                "chapters": len(run.first("run").get("chapters", [])), "folder": str(run.folder)}  # fmt: skip

    rows = [row(r) for r in of_project(Params.parse(values(project, engine, given)).folder)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        print_table(rows)
    else:
        click.echo("there is no run yet")


@main.command(epilog=EPILOG)
@parameters
@click.argument("run", default="")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file. [default: the run's report.html]")
@JSON
def report(project: str | None, engine: str | None, given: Given, run: str, output: Path | None, as_json: bool) -> None:
    """Write the report (HTML, Portuguese) of RUN, a run's name or a folder with a journal (else the last run), again."""
    from . import report, verdict
    from .runs import find

    found = find(Params.parse(values(project, engine, given)).folder, run)
    path = report.write(found, output)
    give(as_json, {"report": path, "status": found.status, "verdict": verdict.of(found).text}, str(path))


@main.command(epilog=EPILOG)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of standard output.")
def guide(output: Path | None) -> None:
    """Write the corrected document (Markdown, Portuguese): what the chapters displayed, to read and follow by hand."""
    from .files import write_atomic
    from .guide import text

    if output:
        write_atomic(output, text())
    else:
        click.echo(text(), nl=False)


@main.command(epilog=EPILOG)
@parameters
@click.argument("run", default="")
@click.option("--key", type=FILE, help="The signer's public key (PEM). [default: your own]")
@JSON
def verify(project: str | None, engine: str | None, given: Given, run: str, key: Path | None, as_json: bool) -> None:
    """Check the signature, the journal and every file of RUN, a run's name or folder (else the last run), offline."""
    from .runs import RUNS, Run, find
    from .verification import verify as look

    folder = Params.parse(values(project, engine, given)).folder
    named = [p for p in (Path(run), folder / RUNS / run) if run and p.is_dir()]  # without a journal it fails, but is found
    found = look(Run(named[0].resolve()) if named else find(folder, run), key)
    told = {"verified": found.ok, **vars(found), "findings": [vars(f) for f in found.findings]}
    give(as_json, told, str(found))
    sys.exit(0 if found.ok else 1)


@main.command(epilog=EPILOG)
@parameters
@click.argument("old")
@click.argument("new")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where they differ, as `git diff --exit-code` does.")
@JSON
def diff(project: str | None, engine: str | None, given: Given, old: str, new: str, exit_code: bool, as_json: bool) -> None:
    """Show what differed between two runs, each a run's name or a folder with a journal, be it of another project."""
    from . import compare
    from .runs import find

    folder = Params.parse(values(project, engine, given)).folder
    one, other = find(folder, old), find(folder, new)
    found = compare.compare(one, other)
    told = {"old": str(one.folder), "new": str(other.folder), "differs": compare.differs(found),
            "differences": [vars(d) for d in found]}  # fmt: skip
    give(as_json, told, compare.text(one, other, found))
    sys.exit(1 if exit_code and compare.differs(found) else 0)
