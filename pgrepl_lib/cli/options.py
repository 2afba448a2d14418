"""The options that commands share, and the cluster that they mean."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..params import Params, from_environment, variable
from .group import option

if TYPE_CHECKING:
    from ..cluster.members import AnyCluster

Given = dict[str, Any]  # parameters by their names, as they were typed
GIVEN = option(
    "-p",
    "--parameter",
    "given",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A parameter: -p auth_method trust, or exported as PGREPL_AUTH_METHOD.",
)
FINDING = ("project", "engine", "workdir")


def parameters_as_options(*shown: str, hidden: Iterable[str] = ()) -> Callable[[Any], Any]:
    """Each parameter as an option of its own, and all by -p: the command gets one mapping `given`.

    hidden: those that are taken, too, and not shown in the command's help.
    """

    def decorated(command: Any) -> Any:
        @functools.wraps(command)
        def with_given(given: Iterable[tuple[str, str]], **options: Any) -> Any:
            typed = {name: options.pop(name) for name in (*shown, *hidden)}
            own = {name: value for name, value in typed.items() if value is not None}
            return command(given={**dict(given), **own}, **options)

        found = GIVEN(with_given)
        for name in reversed((*shown, *hidden)):
            found = _option(name, hidden=name in hidden)(found)
        return found

    return decorated


def _option(name: str, *, hidden: bool) -> Callable[[Any], Any]:
    field = Params.model_fields[name]
    words = f"--{name.replace('_', '-')}"
    default = str(field.default)
    if name == "workdir" or not field.default:  # the description says what an empty one means
        default = ""
    return option(words, name, help=field.description, show_default=default or False, hidden=hidden)


# Of a command that makes a cluster what it is to be, and of one that finds it.
all_parameters = parameters_as_options(*Params.model_fields)
parameters = parameters_as_options(
    *FINDING, hidden=[name for name in Params.model_fields if name not in FINDING]
)


JSON = option(
    "--json", "as_json", is_flag=True, help="The result as one JSON document on standard output."
)
FILE = click.Path(path_type=Path)
YES = option("--yes", is_flag=True, help="Do not ask, where a terminal would be asked on.")
PLAN = option("--plan", is_flag=True, help="Print the steps and change nothing.")
QUIET = option(
    "--quiet",
    "-q",
    is_flag=True,
    help="Print nothing while all is well (with --json: only the result).",
)


def values(given: Given) -> dict[str, Any]:
    """What was typed, and of the rest what is exported. Raises `ParameterError`."""
    exported = {name: value for name, value in from_environment().items() if name not in given}
    Params.parse(exported | given, called={name: variable(name) for name in exported})
    return exported | given


def with_made(given: dict[str, Any], *, must_exist: bool = False) -> dict[str, Any]:
    """The given parameters, and for the others what the project was made with, where it exists."""
    from ..cluster import state

    params = Params.parse(given)
    made = state.read(params.folder).get("params", {})
    if not made and must_exist:
        from .projects import missing

        raise missing(params)
    return {**made, **given, "project": params.project, "workdir": str(params.workdir)}


def existing_cluster(typed: Given, *, must_exist: bool = True, but: str = "") -> Any:
    """The cluster of a project, with the parameters that it has; others are refused.

    but: a parameter that the command itself changes.
    """
    from ..steps.cluster import open_cluster

    return open_cluster("cli", **_unchanged(typed, must_exist=must_exist, but=but))


def asked(typed: Given, name: str) -> Any:
    """What is asked for of a parameter, as the cluster will have it; None where nothing is."""
    given = values(typed)
    return getattr(Params.parse(given), name) if name in given else None


def seen_cluster(typed: Given) -> AnyCluster:
    """The same to look at it alone, without loading what changes it."""
    from ..cluster.members import look_at

    return look_at(Params.parse(_unchanged(typed, must_exist=True)))


def _unchanged(typed: Given, *, must_exist: bool, but: str = "") -> dict[str, Any]:
    from ..cluster import state

    given = {name: value for name, value in values(typed).items() if name != but}
    state.refuse_changes(given, state.read(Params.parse(given).folder))
    return with_made(given, must_exist=must_exist)
