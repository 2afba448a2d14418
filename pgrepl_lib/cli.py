"""The command line: `pgrepl`, also `python -m pgrepl_lib`.

Exit codes: 0 done; 1 a step or check failed; 2 bad parameters or usage; 3 the environment lacks something.
Results go to standard output, progress and errors to standard error.
"""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import sys
from typing import Any

import click

from .errors import CheckFailed, ParameterError, PgreplError
from .params import Params

EPILOG = (
    "Exit codes: 0 done; 1 a step or check failed; 2 bad parameters or usage; 3 the environment lacks something; "
    "130 interrupted (running again goes on)."
)
INTERRUPTED = 130


class Guarded(click.Group):
    """Turns the project's errors into a message and an exit code instead of a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except PgreplError as error:
            click.echo(f"pgrepl: {error}", err=True)
            sys.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else error.exit_code)
        except KeyboardInterrupt:
            click.echo("pgrepl: interrupted; run again to go on", err=True)
            sys.exit(INTERRUPTED)


def parameters(command: Any) -> Any:
    """The options by which every command finds its cluster."""
    command = click.option("-p", "--parameter", "given", nargs=2, multiple=True, metavar="NAME VALUE",
                           help="A parameter of the notebooks, such as: -p auth_method scram-sha-256")(command)  # fmt: skip
    command = click.option("--engine", help="auto (docker where it can work, else local), docker, or local.")(command)
    return click.option("--project", help="The cluster's name; several live side by side. [default: pgrepl]")(command)


def values(project: str | None, engine: str | None, given: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The given options as one mapping; the short options win over -p."""
    named = {"project": project, "engine": engine}
    return dict(given) | {k: v for k, v in named.items() if v is not None}


def print_table(rows: list[dict[str, Any]]) -> None:
    """Rows with the same keys, as columns."""
    table = [list(rows[0]), *([("" if v is None else str(v)) for v in r.values()] for r in rows)]
    widths = [max(len(r[i]) for r in table) for i in range(len(table[0]))]
    click.echo("\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in table))


def existing_cluster(given: dict[str, Any], *, must_exist: bool = True) -> Any:
    """The cluster of a project with the parameters that it was made with, unless they are given."""
    from . import state
    from .cluster import open_cluster

    params = Params.parse(given)
    made = state.read(params.folder).get("params", {})
    if not made and must_exist:
        known = sorted(p.parent.name for p in params.workdir.glob(f"*/{state.FILE}"))
        raise ParameterError(f"There is no project {params.project}.", remedy=f"pgrepl run --project {params.project}",
                             looked_at=[f"{params.workdir} holds: {', '.join(known) or 'no project'}"])  # fmt: skip
    return open_cluster("cli", **{**made, **given})


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="pgrepl")
def main() -> None:
    """Set up, verify and operate PostgreSQL streaming replication, and keep a record of what was done.

    The chapters are notebooks; `run` executes them without a browser. Running again changes only what is left.
    """


@main.command(epilog=EPILOG)
@parameters
@click.option("--from", "first", default="00", help="First chapter, by number or name. [default: 00]")
@click.option("--to", "last", default="03", help="Last chapter, by number or name. [default: 03]")
def run(project: str | None, engine: str | None, given: tuple[tuple[str, str], ...], first: str, last: str) -> None:
    """Execute the chapters in order: preparation, primary, replica, verification; with --to 08 also the operation."""
    from .chapter import OPERATE, SET_UP, chapters_between

    given_values = values(project, engine, given)
    params = Params.parse(given_values)
    try:
        chapters = chapters_between(first, last, (*SET_UP, *OPERATE))
    except ValueError as error:
        raise ParameterError(str(error)) from None
    from .kernel import begun

    with begun(params):
        from .runner import run as run_chapters  # papermill's imports go on while the kernel starts

        folder = run_chapters(given_values, chapters, bar=sys.stderr.isatty())
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    steps, checks = summary["steps"], summary["checks"]
    click.echo(f"{summary['status']}: {steps['changed']} steps changed, {steps['unchanged']} unchanged; "
               f"{checks['passed']} checks passed, {checks['failed']} failed")  # fmt: skip
    click.echo(f"evidence: {folder}")
    gc.freeze()  # the interpreter would search everything that was imported for cycles before it ends


@main.command(epilog=EPILOG)
@parameters
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
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
            click.echo(json.dumps(seen, indent=None if watch else 2))
            return
        if watch:
            click.clear()
            click.echo(f"every {interval:g} s; Ctrl-C ends it")
        click.echo(f"project {seen['project']}, engine {seen['engine']}, folder {seen['folder']}")
        for table in (seen["instances"], seen["replication"]):
            click.echo()
            print_table(table) if table else click.echo("(no replica is connected)")

    if not watch:
        once()
        return
    with contextlib.suppress(KeyboardInterrupt):
        repeat(once, every=max(0.2, interval))


@main.command(epilog=EPILOG)
@parameters
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def check(project: str | None, engine: str | None, given: tuple[tuple[str, str], ...], as_json: bool) -> None:
    """Make all checks of chapter 03; changes nothing and leaves nothing behind."""
    from .checks import CHECKS, ON_REQUEST

    cluster = existing_cluster(values(project, engine, given))
    if not cluster.engine.has_data(cluster.primary.name):
        cluster.require_primary()
    results = []
    for name, make in ((n, c) for n, c in CHECKS.items() if n not in ON_REQUEST):
        try:
            results.append(make(cluster) if as_json else cluster.check(name))
        except CheckFailed:
            results.append(None)
    if as_json:
        click.echo(json.dumps([vars(r) for r in results], indent=2))
    failed = sum(r is None or not r.passed for r in results)
    click.echo(f"{len(results) - failed} passed, {failed} failed", err=as_json)
    sys.exit(1 if failed else 0)


@main.command(epilog=EPILOG)
@parameters
@click.argument("instance")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(
    project: str | None, engine: str | None, given: tuple[tuple[str, str], ...], instance: str, arguments: tuple[str, ...]
) -> None:
    """Open psql as superuser on INSTANCE (primary, replica); psql's own arguments follow `--`."""
    from .command import replace_process

    cluster = existing_cluster(values(project, engine, given))
    if instance not in cluster.engine.ports:
        raise ParameterError(f"No instance {instance!r}.", looked_at=[", ".join(cluster.engine.ports)])
    if not cluster.engine.running(instance):
        raise PgreplError(f"{instance} is not running.", remedy=f"pgrepl run --project {cluster.params.project}")
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    replace_process(cluster.engine.client(instance, "psql", *arguments, terminal=terminal), cwd=cluster.folder)


@main.command(epilog=EPILOG)
@parameters
@click.option("--yes", is_flag=True, help="Remove without asking.")
def down(project: str | None, engine: str | None, given: tuple[tuple[str, str], ...], yes: bool) -> None:
    """Stop and remove the cluster's instances, data, configuration and secrets; the runs' evidence stays."""
    cluster = existing_cluster(values(project, engine, given), must_exist=False)
    for line in (there := cluster.existing()):
        click.echo(line)
    if not there and not cluster.folder.joinpath("cluster.json").exists():
        click.echo(f"nothing of project {cluster.params.project} exists")
        return
    if not yes and not (sys.stdin.isatty() and click.confirm("Remove all of this?", err=True)):
        raise ParameterError("Nothing was removed: no confirmation.", remedy="pgrepl down --yes")
    cluster.remove(confirm=True)


@main.command(epilog=EPILOG + " A monitoring plug-in's own: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.")
@parameters
@click.option("--warning-bytes", default=16 * 1024**2, show_default=True, help="Lag in bytes that is worth a warning.")
@click.option("--critical-bytes", default=256 * 1024**2, show_default=True, help="Lag in bytes that is critical.")
@click.option("--warning-seconds", default=10.0, show_default=True, help="Lag in seconds that is worth a warning.")
@click.option("--critical-seconds", default=60.0, show_default=True, help="Lag in seconds that is critical.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def lag(project: str | None, engine: str | None, given: tuple[tuple[str, str], ...], as_json: bool, **limits: float) -> None:
    """Judge every replica's lag, in one line with performance data, as monitoring systems (Nagios, Icinga) read it."""
    try:
        from . import lag as lags

        found = lags.now(existing_cluster(values(project, engine, given)))
        code, line = lags.judge(found, lags.Thresholds(**limits))  # type: ignore[arg-type]
    except Exception as error:
        click.echo(f"REPLICATION UNKNOWN - {str(error).splitlines()[0]}")
        sys.exit(3)
    click.echo(json.dumps(found, indent=2) if as_json else line)
    sys.exit(code)


from . import operate, review  # noqa: E402, F401 - their commands register themselves


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, _stop)
