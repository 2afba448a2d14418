"""A project's commands, run in its folder: what both engines are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ..doors import command
from ..doors.answer import Kind, ask
from ..doors.command import Command, Completed
from ..doors.db import Address
from ..doors.program import silently
from ..params import Params
from ..words.text import joined
from .action import SILENCE, Action, Tell, never
from .secret import as_superuser


class Commands:
    """What a project is to an engine, and how its commands are run."""

    def __init__(self, params: Params, ports: Mapping[str, int]) -> None:
        self.params, self.ports, self.had_data = params, ports, False
        self.folder, self.id = params.folder, ""

    def address(self, name: str) -> Address:
        return as_superuser(self.folder, self.ports[name])

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
        """What is seen of an instance that hangs; empty for every other, and for no name."""
        if not name:
            return ""
        seen = ask(self.address(name))
        if seen.kind is not Kind.HUNG:
            return ""
        return joined(" ", [name, str(seen)])

    def _by(self, each: Command, done: Callable[[], bool] = never) -> Action:
        """The action that this command is."""

        def do(tell: Tell) -> None:
            self.run(each)

        return Action((each,), do, done)
