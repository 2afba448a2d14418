"""What a former primary has alone: from where its WAL and the new primary's have parted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...doors import db, files, show
from ...doors.program import silently
from ...engine.action import Tell
from ...postgres.wal import Unreadable
from ...words.commands import addressed
from ...words.language import in_notebook
from ...words.text import joined, mark, t
from ..standing import wait_everything_replayed
from . import keeping, own_wal, refusals
from .own_rows import Found, OwnRows
from .own_wal import OwnWal, Written

if TYPE_CHECKING:
    from ...steps.instance import Instance

HINTS = """
select current_setting('wal_log_hints') as hints, current_setting('data_checksums') as checksums"""


class Former:
    """A fenced instance that answers, and who took its place.

    snapshot: the transactions that the new primary had when it was promoted; "" for unknown.
    """

    def __init__(self, instance: Instance, primary: Instance, snapshot: str) -> None:
        self.instance, self.primary, self.snapshot = instance, primary, snapshot

    @cached_property
    def end(self) -> int:
        """Where its own WAL ends, in bytes."""
        return wait_everything_replayed(self.instance).replayed

    @cached_property
    def parted(self) -> int:
        """Where the two have parted, in bytes; 0 where nobody knows."""
        try:
            return own_wal.parted(self.instance.address, self.primary.address)
        except ValueError:
            return 0

    @property
    def is_ahead(self) -> bool:
        """Whether it has WAL of its own."""
        return self.end > self.parted

    def why_not_follow(self) -> str:
        """As `own_wal.why_not_follow`, with the data that it has."""
        return own_wal.why_not_follow(self.primary.address, self.end)

    def why_not_rewind(self) -> str:
        """As `own_wal.why_not_rewind`."""
        source = self.primary.address
        return own_wal.why_not_rewind(self.instance.address, source, self.parted)

    def hints(self) -> bool:
        """Whether its WAL has what `pg_rewind` needs (manual, pg_rewind)."""
        return "on" in db.row(self.instance.address, HINTS).values()

    def keep_and_say(self, kept: Path, *, discard: bool) -> Found:
        """As `keep`, recorded and told; raises `StepFailed` for what cannot be, without discard."""
        found, cluster, name = self.keep(kept), self.instance.cluster, self.instance.name
        if found.rows or found.lacking or found.told:
            facts = {"rows": found.rows, "lacking": found.lacking, "told": found.told}
            cluster.journal.record("diverged", instance=name, file=str(kept), **facts)
        say(found)
        if found.lacking and not discard:
            files.remove(kept)
            raise refusals.cannot_be_kept(self.instance, found)
        return found

    def keep(self, kept: Path) -> Found:
        """Write all rows that only it has into a file, for its owner alone; none for none."""
        if not self.is_ahead:
            return Found()
        at = self.instance.address
        with _progress(t("What only {name} has", name=self.instance.name)) as tell:
            written = self._written(tell)
            snapshot = seen_by_others(self.snapshot, written)
            with files.replacing(kept, 0o600) as stream:
                found = OwnRows(at, snapshot, written, stream, tell).keep()
        if not found.rows:
            files.remove(kept)
        return found

    def _written(self, tell: Tell) -> Written | None:
        """The blocks that its own WAL names; None, and how long that takes, where WAL is gone."""
        try:
            own = OwnWal(self.instance.address)
            written = own.written(self.parted, self.end, tell)
            if self.snapshot:
                own.note_earlier(written, self.parted, int(self.snapshot.split(":")[1]))
            return written
        except Unreadable as gone:
            self._say_slow(gone)
            return None

    def _say_slow(self, gone: Unreadable) -> None:
        """That all of it has to be read, how long that takes, and what would be faster."""
        engine, name = self.instance.cluster.engine, self.instance.name
        amount = keeping.minutes(keeping.size(engine, name))
        read = mark("{gone}, so every row of {name} is read: {amount}")
        show.note(t(read, gone=gone.args[0], name=name, amount=amount))
        whole = t(
            "to keep its whole data folder in a file instead, end this and: "
            "`pgrepl rejoin {name} --keep-data`",
            name=name,
        )
        show.note(addressed(whole, engine.params))


def seen_by_others(snapshot: str, written: Written | None) -> str:
    """The snapshot of a server in recovery, which does not name what was running (manual, 9.27).

    Where WAL says what committed later, that was; else all from the first that may have been.
    """
    if not snapshot:
        return ""
    first, most, _ = snapshot.split(":")
    if written is None:
        return f"{first}:{first}:"
    late = written.committed_before(int(most))
    return f"{min([int(first), *late])}:{most}:{','.join(map(str, late))}"


def say(found: Found) -> None:
    """What else is thrown away, before it is."""
    parts = {t("also thrown away:"): found.told, t("cannot be kept:"): found.lacking}
    for head, lines in parts.items():
        if lines:
            show.note(joined("\n", [head, *(joined("", ["- ", line]) for line in lines)]))


@contextmanager
def _progress(title: str) -> Iterator[Tell]:
    """On a terminal; in a notebook the time it takes must not decide whether there is an output."""
    if in_notebook():
        yield silently
        return
    with show.progress(title) as tell:
        yield tell
