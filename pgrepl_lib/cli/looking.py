"""The command line's verbs that look at a cluster, or say where it is: status, check, lag, dsn."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import click

from ..doors import terminal
from ..engine.action import SUPERUSER
from ..errors import first_line
from ..postgres.dsn import FORMATS
from ..words.text import mark, t
from .group import EPILOG, main, option
from .options import JSON, QUIET, Given, existing_cluster, parameters, seen_cluster
from .output import give, print_status


@main.command(epilog=EPILOG)
@parameters
@JSON
@option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@option(
    "--interval", default=2.0, show_default=True, help="Seconds between two looks, with --watch."
)
def status(
    given: Given,
    as_json: bool,
    watch: bool,
    interval: float,
) -> None:
    """Show the instances and their roles, and each replica as its upstream sees it."""
    from ..checks.status import status as look
    from ..doors.wait import repeat

    def once() -> None:
        seen = look(seen_cluster(given))
        if as_json:
            terminal.give(json.dumps(seen, indent=None if watch else 2))
            return
        if watch:
            click.clear()
            terminal.tell(t("every {seconds:g} s; Ctrl-C ends it", seconds=interval))
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
@option("--deep", is_flag=True, help="With the 100,000 rows of chapter 03: 10 MB of WAL.")
@option("--security", is_flag=True, help="Who may come in, and how he proves who he is, instead.")
def check(given: Given, as_json: bool, quiet: bool, deep: bool, security: bool) -> None:
    """Make the checks of chapter 03, look whether commits wait for whom they shall, and say what is
    not as the last run recorded it. Changes nothing in the databases, costs under 100 KB of WAL."""
    from ..doors import show
    from ..drift import drift
    from .examination import asked_for, examine, who_hangs

    cluster = existing_cluster(given)
    hung, results = who_hangs(cluster), []
    for result in examine(cluster, asked_for(deep=deep, security=security), hung):
        results.append(result)
        if not (as_json or (quiet and result.passed)):
            show.check(result.title, result.verdict, result.expected, result.seen, result.hint)
    counts = {v: sum(r.verdict == v for r in results) for v in show.VERDICTS}
    failed = counts["failed"]
    notices: list[str] = []
    if (failed or not quiet) and not hung:
        notices += drift.notices(cluster)
    if not failed and (way := cluster.underway()):
        notices.append(way)
    for notice in notices:
        terminal.tell(t("notice: {text}", text=notice))
    if as_json or failed or not quiet:
        give(as_json, [r.plain() for r in results], _counted(counts))
    sys.exit(int(failed > 0))


COUNTED = {
    "passed": mark("{count} passed"),
    "failed": mark("{count} failed"),
    "not tried": mark("{count} not tried"),
}


def _counted(counts: dict[str, int]) -> str:
    """How many checks ended how; those that could not be tried only where there are some."""
    told = [
        t(COUNTED[verdict], count=count)
        for verdict, count in counts.items()
        if count or verdict != "not tried"
    ]
    return ", ".join(told)


@main.command(
    epilog=EPILOG + " A monitoring plug-in's own: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."
)
@parameters
@option(
    "--warning-bytes",
    default=16 * 1024**2,
    show_default=True,
    help="Lag in bytes that is worth a warning.",
)
@option(
    "--critical-bytes",
    default=256 * 1024**2,
    show_default=True,
    help="Lag in bytes that is critical.",
)
@option(
    "--warning-seconds",
    default=10.0,
    show_default=True,
    help="Lag in seconds that is worth a warning.",
)
@option(
    "--critical-seconds", default=60.0, show_default=True, help="Lag in seconds that is critical."
)
@JSON
def lag(
    given: Given,
    as_json: bool,
    **limits: float,
) -> None:
    """Judge every replica's lag, in one line with performance data, as monitoring systems (Nagios,
    Icinga) read it."""
    try:
        from ..checks import lag as lags
        from ..cluster.changes import underway

        cluster = seen_cluster(given)
        found = lags.now(cluster)
        begun = underway.told(cluster.topology, cluster.params)
        code, line = lags.judge(found, lags.Thresholds(**limits), begun)  # type: ignore[arg-type]
    except Exception as error:
        cause = first_line(error)
        say = terminal.tell if as_json else terminal.give
        say(f"REPLICATION UNKNOWN - {cause}")
        sys.exit(3)
    give(as_json, found, line)
    sys.exit(code)


PASSWORD = mark(
    "The superuser's password is in {path}: PGPASSFILE, or -Dorg.postgresql.pgpassfile."
)


@main.command(epilog=EPILOG)
@parameters
@option(
    "--read-only",
    "reads",
    is_flag=True,
    help="To read: from any replica, or from the primary while no replica answers.",
)
@option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="uri",
    show_default=True,
    help="uri: for psql and libraries; env: for a shell; service: for pg_service.conf; jdbc: for "
    "Java.",
)
@option("--user", default=SUPERUSER, show_default=True, help="The role that it logs in as.")
@option("--dbname", default="postgres", show_default=True, help="The database.")
@JSON
def dsn(given: Given, form: str, as_json: bool, **how: Any) -> None:
    """Print the connection string by which a client finds the primary by itself, also after a
    switchover or failover. No password is in it: it names the file that has the superuser's."""
    from ..logins import client

    cluster = seen_cluster(given)
    words = client.words(cluster, **how)
    text = FORMATS[form](words, cluster.params.project)
    give(as_json, {"format": form, "text": text, "words": words}, text)
    if form == "jdbc" and "passfile" in words:
        terminal.tell(t(PASSWORD, path=words["passfile"]))
