"""A project's commands, run in its folder: what both engines are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ..doors import command
from ..doors.answer import Kind, ask
from ..doors.command import Command, Completed
from ..doors.db import PLAIN, PREFERRED, Address
from ..doors.program import silently
from ..errors import StepFailed
from ..params import Params
from ..postgres import tls
from ..words.commands import addressed
from ..words.quoted import POSTGRESQL, quoted
from ..words.text import joined, t
from .action import SILENCE, Action, Tell, never
from .secret import as_superuser


class Commands:
    """What a project is to an engine, and how its commands are run."""

    def __init__(self, params: Params, ports: Mapping[str, int]) -> None:
        self.params, self.ports, self.had_data = params, ports, False
        self.folder, self.id = params.folder, ""

    def address(self, name: str) -> Address:
        sslmode = PLAIN
        if self.params.tls != tls.OFF:
            sslmode = PREFERRED
        return as_superuser(self.folder, self.ports[name], sslmode)

    def run(
        self, each: Command, tell: Tell = silently, *, check: bool = True, source: str = ""
    ) -> Completed:
        """Run what may be silent for long, unless it waits for somebody who hangs."""
        return command.run(
            each,
            cwd=self.folder,
            seconds=SILENCE,
            check=check,
            on_error_line=tell,
            hung=partial(self._hung, source),
        )

    def _hung(self, name: str) -> str:
        """What is seen of one that hangs or was cut off; empty for every other, and for no name.

        Of one that was cut off in the middle, whoever reads from it hears nothing any more.
        """
        if not name:
            return ""
        seen = ask(self.address(name))
        if seen.kind not in (Kind.HUNG, Kind.NOBODY):
            return ""
        return joined(" ", [name, str(seen)])

    def _encrypted(self, path: Callable[[str], str]) -> tuple[str, ...]:
        """How a replica's program comes to its upstream, as an option; path: of its files."""
        words = tls.conninfo_words(self.params, path)
        option = " ".join(f"{name}={value}" for name, value in words.items())
        return (f"--dbname={option}",) if option else ()

    def _by(self, each: Command, done: Callable[[], bool] = never) -> Action:
        """The action that this command is."""

        def do(tell: Tell) -> None:
            self.run(each)

        return Action((each,), do, done)

    def _complaints(
        self, settings: Mapping[str, str], postgres: Callable[..., Command]
    ) -> list[str]:
        """What the server says against names and values (manual, postgres -C).

        postgres: the command that runs it with these arguments.
        """
        found = []
        for name, value in settings.items():
            given = {"config_file": "/dev/null", "hba_file": "/dev/null", "ident_file": "/dev/null"}
            given |= {"data_directory": "/tmp", name: value}
            words = (word for each in given.items() for word in ("-c", "=".join(each)))
            done = command.run(postgres("-C", name, *words), cwd=Path("/"), check=False)
            if done.code:
                found.append(_first(done.err))
        return found

    def _no_data(self, name: str) -> StepFailed:
        """What a start answers that has nothing to start."""
        cause = t("{name} has no data; nothing was started.", name=name)
        return StepFailed(cause, remedy=addressed(t("`pgrepl run` says what to do"), self.params))


def _first(text: str) -> str:
    """The first FATAL line of a server's output, without its time stamp."""
    lines = text.strip().splitlines()
    line = next((line for line in lines if "FATAL" in line), "".join(lines[-1:]))
    return quoted(POSTGRESQL, line.partition("FATAL:")[2].strip() or line)
