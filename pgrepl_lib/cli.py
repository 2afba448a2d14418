"""The command line: `pgrepl`, also `python -m pgrepl_lib`.

Exit codes: 0 done; 1 a step or check failed; 2 bad parameters or usage; 3 the environment lacks something.
Results go to standard output, progress and errors to standard error. With --json a result is one JSON document; after
an error standard output is empty, but for `run`, which says how far it came.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .doors import outside, terminal
from .errors import PgreplError, first_line
from .legible import legible
from .params import Params, from_environment, variable

EPILOG = (
    "Exit codes: 0 done; 1 a step or check failed; 2 bad parameters or usage; 3 the environment lacks something; "
    "130 interrupted (running again goes on)."
)
INTERRUPTED = 130


class Guarded(click.Group):
    """Turns the project's errors, and those from outside, into a message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except PgreplError as error:
            terminal.tell(f"pgrepl: {error}")
            sys.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else error.exit_code)
        except KeyboardInterrupt:
            terminal.tell("pgrepl: interrupted; run again to go on")
            sys.exit(INTERRUPTED)
        except Exception as error:
            if (told := outside.told(error)) is None:
                raise
            terminal.tell(f"pgrepl: {told}")
            sys.exit(told.exit_code)
        finally:
            exec("")  # CPython would die of SIGINT, not exit, after one that passed through an exec(), as in an import


GIVEN = click.option("-p", "--parameter", "given", nargs=2, multiple=True, metavar="NAME VALUE",
                     help="A parameter: -p auth_method trust, or exported as PGREPL_AUTH_METHOD.")  # fmt: skip


def parameters(command: Any) -> Any:
    """The options by which every command finds its cluster."""
    command = GIVEN(command)
    command = click.option("--engine", help="auto (docker where it can work, else local), docker, or local.")(command)
    return click.option("--project", help="The cluster's name; several live side by side. [default: pgrepl]")(command)


JSON = click.option("--json", "as_json", is_flag=True, help="The result as one JSON document on standard output.")
FILE = click.Path(path_type=Path)
QUIET = click.option("--quiet", "-q", is_flag=True, help="Print nothing while all is well (with --json: only the result).")


def values(project: str | None, engine: str | None, given: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The given parameters as one mapping: the short options win over -p, and both over environment variables."""
    options = dict(given) | {k: v for k, v in {"project": project, "engine": engine}.items() if v is not None}
    exported = {k: v for k, v in from_environment().items() if k not in options}
    Params.parse(exported | options, called={name: variable(name) for name in exported})
    return exported | options


def with_made(given: dict[str, Any], *, must_exist: bool = False) -> dict[str, Any]:
    """The given parameters, and for those that are not given what the project was made with, where it exists."""
    from . import state

    params = Params.parse(given)
    made = state.read(params.folder).get("params", {})
    if not made and must_exist:
        from .operations.projects import missing

        raise missing(params)
    return {**made, **given, "project": params.project, "workdir": str(params.workdir)}


def give(as_json: bool, result: Any, text: str, *, styled: bool = False) -> None:
    """A command's result, on standard output: as JSON, or as text for people.

    styled: the text has our own colours in it; what came from outside was made legible before.
    """
    if as_json:
        text = json.dumps(result, indent=2, default=str)
    terminal.give(text, styled=styled)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Rows with the same keys, as columns; whatever a value holds, it stays in its row."""
    table = [list(rows[0]), *(["" if v is None else legible(str(v)).replace("\n", "␊") for v in r.values()] for r in rows)]
    widths = [max(len(r[i]) for r in table) for i in range(len(table[0]))]
    terminal.give("\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in table))


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
    """With quiet, what is told on standard error is told only if the block fails: a scheduler mails whatever is printed."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told) if quiet else contextlib.nullcontext():
            yield
    except BaseException:
        terminal.tell(told.getvalue(), end="")
        raise


def show_run(folder: Path | None, as_json: bool, error: BaseException | None = None) -> None:
    """How a run ended: a result, also with an error where that is JSON; else the error's own message is still to come."""
    from .report import FILE as REPORT
    from .runs import SUMMARY, Run

    told: dict[str, Any] = {"error": str(error) or "interrupted"} if error else {}
    if folder is None or not folder.exists():
        if as_json:
            give(True, {"run": None, "status": "not begun", **told}, "")
        return
    try:
        summary = json.loads((folder / SUMMARY).read_text("utf-8"))
    except (OSError, ValueError):  # a disk that is full may hold no more than the journal
        run = Run(folder)
        summary = {"run": run.name, "status": run.status, **run.counts()}
    report, steps, checks = folder / REPORT, summary["steps"], summary["checks"]
    untried = f", {checks['not_tried']} not tried" if checks.get("not_tried") else ""
    text = (f"{summary['status']}: {steps['changed']} steps changed, {steps['unchanged']} unchanged; {checks['passed']} checks "
            f"passed, {checks['failed']} failed{untried}\nevidence: {folder}\nreport: {report}")  # fmt: skip
    if error and not as_json:
        terminal.tell(text)
        return
    give(as_json, {**summary, **told, "folder": folder, "report": report if report.exists() else None}, text)


def existing_cluster(given: dict[str, Any], *, must_exist: bool = True) -> Any:
    """The cluster of a project, with the parameters that it has; others are refused."""
    from . import state
    from .cluster import open_cluster

    state.refuse_changes(given, state.read(Params.parse(given).folder))
    return open_cluster("cli", **with_made(given, must_exist=must_exist))


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="pgrepl")
def main() -> None:
    """Set up, verify and operate PostgreSQL streaming replication, and keep a record of what was done.

    The chapters are notebooks; `run` executes them without a browser. Running again changes only what is left.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail


@main.command(epilog=EPILOG)
@parameters
@click.option("--from", "first", default="", help="First chapter, by number or name. [default: 00]")
@click.option("--to", "last", default="", help="Last chapter, by number or name. [default: 03]")
@click.option("--resume", is_flag=True, help="The last run once more, with its chapters and parameters, unless it completed.")
@click.option("--key", type=FILE, help="Sign with this Ed25519 key (PEM), or PGREPL_SIGNING_KEY. [default: your own]")
@click.option("--ask", is_flag=True, help="Ask on the terminal before each step that would change something.")
@click.option("--plan", is_flag=True, help="As pgrepl plan: say what would change, and touch nothing.")
@JSON
@QUIET
def run(
    project: str | None,
    engine: str | None,
    given: tuple[tuple[str, str], ...],
    first: str,
    last: str,
    key: Path | None,
    plan: bool,
    ask: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Execute the chapters in order: preparation, primary, replica, verification; with --to 08 also the operation."""
    from .task import fresh, unfinished

    folder = None
    try:
        given_values = values(project, engine, given)
        task = unfinished(given_values, first, last) if resume else fresh(with_made(given_values), first, last)
        if plan and task.chapters:
            preview.show_plan(task.values, task.chapters, as_json)
            return
        if not task.chapters:
            if not quiet:
                terminal.tell(f"pgrepl: nothing to resume: run {task.resumes} completed")
            if as_json:
                give(True, {"run": task.resumes, "status": "completed", "resumed": False}, "")
            return
        from .ask import asking
        from .kernel import begun

        params = Params.parse(task.values)
        with asking(params) if ask else contextlib.nullcontext(), held_back(quiet), begun(params) as folder:
            from .runner import run as run_chapters  # papermill's imports go on while the kernel starts

            run_chapters(task.values, task.chapters, bar=sys.stderr.isatty() and not ask, key=key, resumes=task.resumes)
    except (Exception, KeyboardInterrupt) as error:
        if not plan:
            show_run(folder, as_json, error)
        raise
    if as_json or not quiet:
        show_run(folder, as_json)
    gc.freeze()  # the interpreter would search everything that was imported for cycles before it ends


@main.command(epilog=EPILOG)
@parameters
@JSON
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option("--interval", default=2.0, show_default=True, help="Seconds between two looks, with --watch.")
def status(
    project: str | None, engine: str | None, given: tuple[tuple[str, str], ...], as_json: bool, watch: bool, interval: float
) -> None:
    """Show the instances and their roles, and each replica as its upstream sees it."""
    from .status import status as look
    from .wait import repeat

    def once() -> None:
        seen = look(existing_cluster(values(project, engine, given)))
        if as_json:
            terminal.give(json.dumps(seen, indent=None if watch else 2))
            return
        if watch:
            click.clear()
            terminal.tell(f"every {interval:g} s; Ctrl-C ends it")
        print_status(seen)

    if not watch:
        once()
        return
    with contextlib.suppress(KeyboardInterrupt):
        repeat(once, every=max(0.2, interval))


@main.command(epilog=EPILOG)
@parameters
@JSON
@QUIET
@click.option("--deep", is_flag=True, help="With the 100,000 rows of chapter 03: 10 MB of WAL.")
def check(
    project: str | None, engine: str | None, given: tuple[tuple[str, str], ...], as_json: bool, quiet: bool, deep: bool
) -> None:
    """Make the checks of chapter 03, look whether commits wait for whom they shall, and say what is
    not as the last run recorded it. Changes nothing in the databases, costs under 100 KB of WAL."""
    from . import drift, show
    from .operations.examination import asked_for, examine, who_hangs

    cluster = existing_cluster(values(project, engine, given))
    hung, results = who_hangs(cluster), []
    for result in examine(cluster, asked_for(deep=deep), hung):
        results.append(result)
        if not (as_json or (quiet and result.passed)):
            show.check(result.title, result.verdict, result.expected, result.seen, result.hint)
    counts = {v: sum(r.verdict == v for r in results) for v in show.VERDICTS}
    failed = counts["failed"]
    for notice in drift.notices(cluster) if (failed or not quiet) and not hung else ():
        terminal.tell(f"notice: {notice}")
    if as_json or failed or not quiet:
        told = [f"{n} {verdict}" for verdict, n in counts.items() if n or verdict != "not tried"]
        give(as_json, [vars(r) for r in results], ", ".join(told))
    sys.exit(1 if failed else 0)


@main.command(epilog=EPILOG + " A monitoring plug-in's own: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.")
@parameters
@click.option("--warning-bytes", default=16 * 1024**2, show_default=True, help="Lag in bytes that is worth a warning.")
@click.option("--critical-bytes", default=256 * 1024**2, show_default=True, help="Lag in bytes that is critical.")
@click.option("--warning-seconds", default=10.0, show_default=True, help="Lag in seconds that is worth a warning.")
@click.option("--critical-seconds", default=60.0, show_default=True, help="Lag in seconds that is critical.")
@JSON
def lag(project: str | None, engine: str | None, given: tuple[tuple[str, str], ...], as_json: bool, **limits: float) -> None:
    """Judge every replica's lag, in one line with performance data, as monitoring systems (Nagios, Icinga) read it."""
    try:
        from . import lag as lags
        from .operations import underway

        cluster = existing_cluster(values(project, engine, given))
        found = lags.now(cluster)
        begun = underway.told(cluster.topology, cluster.params)
        code, line = lags.judge(found, lags.Thresholds(**limits), begun)  # type: ignore[arg-type]
    except Exception as error:
        cause = getattr(error, "cause", "") or first_line(error)
        say = terminal.tell if as_json else terminal.give
        say(f"REPLICATION UNKNOWN - {cause}")
        sys.exit(3)
    give(as_json, found, line)
    sys.exit(code)


from . import operate, preview, review  # noqa: E402, F401 - their commands register themselves


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, _stop)
