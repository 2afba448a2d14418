"""Tables as a reader sees them: what columns and known words mean, in the language spoken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..postgres.recovery import Replay
from ..words.text import mark, t

if TYPE_CHECKING:
    import pandas

COLUMNS = {
    "name": mark("name"),
    "role": mark("role"),
    "host": mark("host"),
    "port": mark("port"),
    "user": mark("user"),
    "version": mark("version"),
    "state": mark("state"),
    "replay": mark("replay"),
    "sync_state": mark("mode"),
    "write_bytes": mark("write (bytes)"),
    "flush_bytes": mark("flush (bytes)"),
    "replay_bytes": mark("replay (bytes)"),
    "write_seconds": mark("write (s)"),
    "flush_seconds": mark("flush (s)"),
    "replay_seconds": mark("replay (s)"),
    "active": mark("in use"),
    "wal_status": mark("WAL status"),
    "kept_bytes": mark("kept WAL (bytes)"),
    "bytes_left": mark("room left (bytes)"),
    "status": mark("state"),
    "sender_host": mark("from"),
    "sender_port": mark("port"),
    "slot_name": mark("slot"),
    "timeline": mark("timeline"),
    "bytes": mark("lag (bytes)"),
    "seconds": mark("lag (s)"),
    "time": mark("time (s)"),
    "phase": mark("phase"),
    "streamed_bytes": mark("copied (bytes)"),
    "total_bytes": mark("in all (bytes)"),
    "percent": mark("%"),
    "acknowledged": mark("confirmed"),
    "lost": mark("lost"),
    "doubled": mark("twice"),
    "in_doubt": mark("in doubt"),
    "outage": mark("without writes (s)"),
    "moment": mark("moment"),
    "answer": mark("answer"),
    "received": mark("received"),
    "replayed": mark("replayed"),
    "chosen": mark("chosen"),
    "database": mark("database"),
    "table": mark("table"),
    "rows": mark("rows"),
    "level": mark("synchronous_commit"),
    "median_ms": mark("median (ms)"),
    "p95_ms": mark("95th percentile (ms)"),
}
# Of the columns role, state and replay; `Life`, `drift` and `Replay` mark them for the catalogues.
WORDS = ("primary", "replica", "running", "stopped", "absent", "paused", "fenced", *Replay)


def table(frame: pandas.DataFrame) -> pandas.DataFrame:
    """A table to be shown, no text cut short; unknown columns and words stay as they are.

    What was not measured is empty.
    """
    import pandas

    pandas.set_option("display.max_colwidth", None)
    known = [column for column in frame.columns if column in COLUMNS]
    shown = frame.rename(columns={column: t(COLUMNS[column]) for column in known})
    for column in ("role", "state", "replay"):
        if column in known:
            shown[t(COLUMNS[column])] = frame[column].map(_word)
    return shown.fillna("")


def _word(word: object) -> object:
    return t(str(word)) if word in WORDS else word
