"""Any order of the cells, some twice, a kernel restarted in between: short messages, and a run that comes back.

A seed (PGREPL_SEED, else 1) decides all of it; PGREPL_STEPS is the number of seeds of the long tests.
"""

from __future__ import annotations

import os
import random

import pytest

from pgrepl_lib import open_cluster
from pgrepl_lib.journal.chapter import OPERATE, SET_UP
from tests.conftest import PATIENCE, NewProject

from ..func.operated import failed_checks
from ..func.running import Values, pgrepl
from .permuted import Reader, come_back

SEED = int(os.environ.get("PGREPL_SEED", "1"))
SEEDS = int(os.environ.get("PGREPL_STEPS", "200"))
SHORT = 3  # seeds of `make test`


def set_up(values: Values, number: int) -> None:
    """Some of the first chapters, in any order, each in its own; then a run."""
    drawn = random.Random(f"set-up {number}")
    chapters = drawn.sample(SET_UP, drawn.randrange(1, 4))
    read(values, number, drawn, chapters)


def operate(values: Values, number: int) -> None:
    """One of the later chapters on a cluster that is set up."""
    drawn = random.Random(f"operate {number}")
    read(values, number, drawn, [drawn.choice(OPERATE)])
    for name in list(open_cluster("", **values).topology.fenced):
        done = pgrepl(f"rejoin {name} --yes", values)
        assert done.returncode == 0, done.stdout + done.stderr


def read(values: Values, number: int, drawn: random.Random, chapters: list[str]) -> None:
    print(f"--- seed {number}: {' '.join(chapters)}", flush=True)
    reader = Reader(values, drawn)
    for chapter in chapters:
        reader.read(chapter)
    ways = []
    for way in come_back(values):
        ways.append(way)
        print(f"  {way}", flush=True)
    failed = failed_checks(open_cluster("", **values))
    assert failed == {}, "\n".join(reader.told)


def test_some_orders(new_project: NewProject) -> None:
    for number in range(SEED, SEED + SHORT):
        with new_project() as values:
            set_up(values, number)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600 * PATIENCE)
def test_any_order_of_the_chapters_that_set_up(new_project: NewProject) -> None:
    for number in range(SEED, SEED + SEEDS):
        with new_project() as values:
            set_up(values, number)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600 * PATIENCE)
def test_any_order_of_the_chapters_that_operate(new_project: NewProject) -> None:
    with new_project(replicas="2") as values:
        assert pgrepl("run", values).returncode == 0
        for number in range(SEED, SEED + SEEDS):
            operate(values, number)
