"""`%pgrepl goto 06` in a cell: our own command line, on the cluster of the notebook's parameters.

A `!pgrepl` would mean the one of JupyterLab's terminals, and wait for answers that nobody can type.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

MINUTES = 10  # without a word


def begin(shell: Any) -> None:
    """From now on."""
    shell.register_magic_function(partial(_typed, shell), "line", "pgrepl")


def _typed(shell: Any, line: str) -> None:
    """Execute a command, and show what it answers.

    Raises `CommandFailed` with what it said, `ParameterError` where the parameters are not known.
    """
    from ..doors import show, terminal
    from ..doors.command import run

    command = _command(line, shell.user_ns)
    with show.progress(str(command)) as tell:
        done = run(command, cwd=Path("/"), seconds=60 * MINUTES, on_error_line=tell)
    terminal.give(done.out.rstrip("\n"))


def _command(line: str, names: Mapping[str, Any]) -> Any:
    from ..doors.command import Command
    from ..errors import ParameterError
    from ..params import Params
    from ..steps.cluster import NO_PARAMETERS, PARAMETERS_FIRST
    from ..words.language import PORTUGUESE
    from ..words.text import t

    if "project" not in names:  # it would be another one
        raise ParameterError(t(NO_PARAMETERS), remedy=t(PARAMETERS_FIRST))
    params = Params.parse({name: names[name] for name in Params.model_fields if name in names})
    program = (sys.executable, "-P", "-m", "pgrepl_lib", *_words(line))
    variables = {**exported(params.plain()), "PGREPL_LANG": PORTUGUESE}
    return Command(program, env=variables, shown=f"pgrepl {line}")


def exported(plain: Mapping[str, object]) -> dict[str, str]:
    """The variables by which the command line takes these parameters."""
    from ..params import variable

    texts = {n: json.dumps(v) if isinstance(v, dict) else str(v) for n, v in plain.items()}
    return {variable(name): text for name, text in texts.items()}


def _words(line: str) -> list[str]:
    from ..errors import ParameterError
    from ..words.text import t

    try:
        return shlex.split(line)
    except ValueError as error:
        remedy = t("correct the line, and execute the cell again")
        raise ParameterError(f"pgrepl {line}: {error}", remedy=remedy) from None
