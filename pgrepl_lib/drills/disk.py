"""The drill of the full disk, on a small server of its own.

What is seen, what still works, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ..doors import ahead, db
from ..errors import EnvironmentLacking, first_line
from ..words.text import joined, mark, t

if TYPE_CHECKING:
    import pandas

    from ..steps.cluster import Cluster

MEGABYTES = 160  # an empty cluster, its WAL, and room for the reserve and for something to fill
RESERVE = """
create unlogged table reserve as
select repeat('x', 1000) as filler from generate_series(1, 16000)"""
FILL = "insert into filling select repeat('x', 1000) from generate_series(1, 1000)"
MOMENTS = (
    mark("write while there is space"),
    mark("write until it is full"),
    mark("read from the full disk"),
    mark("drop the reserve"),
    mark("write again"),
)


@ahead.measured
def full_disk(cluster: Cluster) -> pandas.DataFrame:
    """Fill a small disk until the server has no space, look, free the reserve, and write again.

    Returns each moment's title and what the server answered; where this machine lets nobody make a
    file system, why. The tables are unlogged, so that a table meets the limit, which is an error:
    WAL that finds no space ends the server (PANIC).
    """
    import pandas

    titles = [t(moment) for moment in MOMENTS]
    try:
        with cluster.engine.small_server(MEGABYTES) as at:
            answers = _answers(at)
    except EnvironmentLacking as error:
        answers = [joined(" ", [error.cause, error.remedy])] * len(titles)
    seen = dict(zip(titles, answers, strict=True))
    cluster.journal.record("drill", chapter=cluster.chapter, name="full disk", seen=seen)
    return pandas.DataFrame({"moment": titles, "answer": answers})


def _answers(at: db.Address) -> list[str]:
    """What the server says at each of `MOMENTS`."""
    db.rows(at, RESERVE)
    db.rows(at, "create unlogged table filling (filler text)")
    return [
        _answer(at, FILL),
        _fill(at),
        _answer(at, "select count(*) > 0 as there from filling"),
        _answer(at, "drop table reserve"),
        _answer(at, FILL),
    ]


def _fill(at: db.Address) -> str:
    """Write until the server refuses; returns how."""
    for _ in range(MEGABYTES * 2):
        if (answer := _answer(at, FILL)) != "ok":
            return answer
    return t("never full")


def _answer(at: db.Address, statement: str) -> str:
    try:
        db.rows(at, statement)
        return "ok"
    except psycopg.Error as error:
        return joined(": ", [f"SQLSTATE {error.sqlstate}", first_line(error)])
