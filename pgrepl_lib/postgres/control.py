"""What `global/pg_control` says of a server that does not run.

(PostgreSQL source, `pg_control.h`; the same from 14 to 18.)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..words.text import t

# Identifier, two versions, state, time, last checkpoint, its redo, its timeline.
LAYOUT = struct.Struct("<QIIi4xqQQI")
SHUT_DOWN, SHUT_DOWN_IN_RECOVERY, IN_RECOVERY = 1, 2, 5


@dataclass(frozen=True)
class ControlFile:
    """The part that decides whether and how an instance may follow another.

    system_identifier: the same in all copies of a cluster. state: as `DBState` counts. checkpoint:
    the last one's position in bytes. timeline: the one of that checkpoint. redo: where a recovery
    from it begins.
    """

    system_identifier: int
    state: int
    checkpoint: int
    timeline: int
    redo: int = 0

    @classmethod
    def parse(cls, content: bytes) -> ControlFile:
        """From the file's bytes; raises `ValueError` where it is too short to be one."""
        try:
            identifier, _, _, state, _, checkpoint, redo, timeline = LAYOUT.unpack_from(content)
        except struct.error as error:
            raise ValueError(t("not a control file: {error}", error=error)) from None
        return cls(identifier, state, checkpoint, timeline, redo)

    @property
    def cleanly_shut_down(self) -> bool:
        """Whether a primary ended by itself, so that its last record is the checkpoint."""
        return self.state == SHUT_DOWN

    @property
    def was_standby(self) -> bool:
        """Whether it last ran as a standby, never promoted since."""
        return self.state in (SHUT_DOWN_IN_RECOVERY, IN_RECOVERY)


def lsn(position: int) -> str:
    """A position in bytes as PostgreSQL writes it, such as 0/3000060."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
