"""What an engine can do, as data, and the names that engines and their users share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..doors.command import Command
from ..doors.program import nothing
from .edit import Edit, diffs

PRIMARY, REPLICA = "primary", "replica"
TEMPORARY_PRIMARY, TEMPORARY_REPLICA = "pg_temp", "repl_temp"  # the document's names
SIGNAL = "standby.signal"  # with this file a server starts in recovery (manual, 27.2.4)
CONFIGURATION = ("postgresql.conf", "pg_hba.conf")
SUPERUSER = "postgres"  # that every server is made with
PASSFILE = "replication.pgpass"  # the replication user's password as libpq reads it (manual, 34.16)
# The role that `pg_rewind` logs in as, for a moment, and its password as libpq reads it.
REWINDER, REWINDER_PASSFILE = "pgrepl_rewind", "rewind.pgpass"
# Takes out of a file what `--write-recovery-conf` wrote (corrections 4 and 5).
ONE_OWNER = ("sed", "-i.basebackup", "/^primary_/d")
SILENCE = 3600.0  # seconds: a copy is flushed to the disk without a word, however large it is
Tell = Callable[[str], None]
Shown = Command | Edit | str


def temporary_of(name: str) -> str:
    """The temporary instance for a replica's base backup, named as in the document."""
    if name == REPLICA:
        return TEMPORARY_REPLICA
    return f"{TEMPORARY_REPLICA}_{name.removeprefix(f'{REPLICA}-')}"


def rewind_words(data: str, host: str, port: int, more: Mapping[str, str]) -> tuple[str, ...]:
    """`pg_rewind` of these data from a running server. more: words of the connection string."""
    words = {"host": host, "port": port, "user": REWINDER, "dbname": "postgres", **more}
    server = " ".join(f"{name}={value}" for name, value in words.items())
    both = (f"--target-pgdata={data}", f"--source-server={server}")
    return "pg_rewind", *both, "--write-recovery-conf", "--progress"


def never() -> bool:
    """Of an action that can be done as often as one likes."""
    return False


@dataclass(frozen=True)
class Action:
    """One thing that an engine can do, and what a person would type for it.

    do: performs it, telling progress; done: True when there is nothing left to do. anew: what a
    person would type for it on a cluster that is built from nothing, where the commands also take
    somebody's changes back; None: the commands.

    For whoever only plans: leaves: lets what it leaves be seen ahead, beside what its edits and
    commands do. recorded: whether it is recorded as done, where the server that knows it does not
    run. undecided: what of it only the steps before decide.
    """

    commands: tuple[Shown, ...]
    do: Callable[[Tell], object]
    done: Callable[[], bool] = never
    anew: tuple[Shown, ...] | None = None
    leaves: Callable[[], object] = nothing
    recorded: Callable[[], bool] = never
    undecided: str = ""

    @property
    def edits(self) -> list[Edit]:
        """The files that it changes."""
        return [c for c in self.commands if isinstance(c, Edit)]

    def typed(self) -> tuple[Shown, ...]:
        """Its commands, without edits that would take out what is not there."""
        return tuple(c for c in self.commands if not (isinstance(c, Edit) and c.idle()))

    def pending(self) -> tuple[Shown, ...]:
        """Its commands, without edits that have been made already."""
        return tuple(c for c in self.commands if not (isinstance(c, Edit) and c.done()))

    def diff(self) -> str:
        """What its edits change now: to be asked before it is done."""
        return diffs(self.edits)

    def look_ahead(self) -> None:
        """Let what it would leave be seen by whoever plans the steps after it."""
        for each in self.commands:
            if isinstance(each, Edit):
                each.write()  # over what is foreseen
            elif isinstance(each, Command):
                each.leaves()
        self.leaves()

    def adds(self) -> str:
        """What its edits add to the files as the server made them: to be asked once it is done."""
        return "".join(edit.adds() for edit in self.edits)

    @classmethod
    def sequence(cls, actions: Sequence[Action], done: Callable[[], bool] | None = None) -> Action:
        """Actions in a row as one, each left out where it is done already."""

        def do(tell: Tell) -> None:
            for each in actions:
                if not each.done():
                    each.do(tell)

        def all_done() -> bool:
            return all(each.done() for each in actions)

        def leaves() -> None:
            for each in actions:
                each.leaves()

        commands = tuple(c for a in actions for c in a.commands)
        return cls(commands, do, done or all_done, leaves=leaves)


def leaving(shown: Command | str, leaves: Callable[[], object]) -> Command:
    """A command that also says, to whoever only plans, what it would leave."""
    if isinstance(shown, str):
        shown = Command((), shown=shown)
    return replace(shown, leaves=leaves)


def edit_action(edit: Edit) -> Action:
    """One edit by itself: its server need not know yet."""

    def do(tell: Tell) -> None:
        edit.write()

    return Action((edit,), do, edit.done)


NOTHING = Action.sequence([])  # nothing to do, and so done already
