"""The options that commands share, and the cluster that they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..params import Params, from_environment, variable

GIVEN = click.option(
    "-p",
    "--parameter",
    "given",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A parameter: -p auth_method trust, or exported as PGREPL_AUTH_METHOD.",
)


def parameters(command: Any) -> Any:
    """The options by which every command finds its cluster."""
    command = GIVEN(command)
    command = click.option(
        "--engine", help="auto (docker where it can work, else local), docker, or local."
    )(command)
    return click.option(
        "--project", help="The cluster's name; several live side by side. [default: pgrepl]"
    )(command)


JSON = click.option(
    "--json", "as_json", is_flag=True, help="The result as one JSON document on standard output."
)
FILE = click.Path(path_type=Path)
QUIET = click.option(
    "--quiet",
    "-q",
    is_flag=True,
    help="Print nothing while all is well (with --json: only the result).",
)


def values(
    project: str | None, engine: str | None, given: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """The given parameters as one mapping: the short options win over -p, and both over environment variables."""
    options = dict(given) | {
        k: v for k, v in {"project": project, "engine": engine}.items() if v is not None
    }
    exported = {k: v for k, v in from_environment().items() if k not in options}
    Params.parse(exported | options, called={name: variable(name) for name in exported})
    return exported | options


def with_made(given: dict[str, Any], *, must_exist: bool = False) -> dict[str, Any]:
    """The given parameters, and for those that are not given what the project was made with, where it exists."""
    from ..cluster import state

    params = Params.parse(given)
    made = state.read(params.folder).get("params", {})
    if not made and must_exist:
        from .projects import missing

        raise missing(params)
    return {**made, **given, "project": params.project, "workdir": str(params.workdir)}


def existing_cluster(given: dict[str, Any], *, must_exist: bool = True) -> Any:
    """The cluster of a project, with the parameters that it has; others are refused."""
    from ..cluster import state
    from ..steps.cluster import open_cluster

    state.refuse_changes(given, state.read(Params.parse(given).folder))
    return open_cluster("cli", **with_made(given, must_exist=must_exist))
