"""Any order of the cells, some twice, a kernel restarted in between: short messages, and a run that comes back.

A seed (PGREPL_SEED, else 1) decides all of it; PGREPL_STEPS is the number of seeds of the long tests.
"""

from __future__ import annotations

import os
import random

import pytest

from pgrepl_lib import open_cluster
from pgrepl_lib.journal.chapter import OPERATE, SET_UP
from tests.conftest import NewProject

from ..func.operated import failed_checks
from ..func.running import Values, pgrepl
from .permuted import Reader, come_back, in_order

SEED = int(os.environ.get("PGREPL_SEED", "1"))
SEEDS = {"set-up": 20, "operate": 5}  # of `make long`
EACH = 10  # of them has kernels, and is followed by a run
SHORT = 3  # seeds of `make test`


def set_up(values: Values, number: int, *, kernel: bool = False) -> None:
    """Two of the first chapters, each in an order of its own; then all of them, one after the other."""
    drawn = random.Random(f"set-up {number}")
    before = drawn.randrange(3)  # chapters in their own order
    chapters = drawn.sample(SET_UP[max(0, before - 1) :], 2)
    in_order(values, SET_UP[:before])
    reader = read(values, number, drawn, chapters, kernel=kernel)
    if kernel:
        back(values)
    else:
        in_order(values, SET_UP)
    verify(values, reader)


def operate(values: Values, number: int, *, kernel: bool = True) -> None:
    """One or two of the later chapters on a cluster that is set up; then a run, and who was fenced comes back."""
    drawn = random.Random(f"operate {number}")
    chapters = drawn.sample(OPERATE, drawn.choice([1, 2]))
    reader = read(values, number, drawn, chapters, kernel=kernel)
    back(values)
    verify(values, reader)
    for name in list(open_cluster("", **values).topology.fenced):
        done = pgrepl(f"rejoin {name} --yes", values)
        assert done.returncode == 0, done.stdout + done.stderr


def read(
    values: Values, number: int, drawn: random.Random, chapters: list[str], *, kernel: bool
) -> Reader:
    print(f"--- seed {number}: {' '.join(chapters)}", flush=True)
    reader = Reader(values, drawn, kernel=kernel)
    for chapter in chapters:
        reader.read(chapter)
    return reader


def back(values: Values) -> None:
    for way in come_back(values):
        print(f"  {way}", flush=True)


def seeds(kind: str) -> range:
    return range(SEED, SEED + int(os.environ.get("PGREPL_STEPS", SEEDS[kind])))


def verify(values: Values, reader: Reader) -> None:
    failed = failed_checks(open_cluster("", **values))
    assert failed == {}, f"{failed}\n" + "\n".join(reader.told)


def test_some_orders(new_project: NewProject) -> None:
    """The first of them in kernels, and with a run."""
    for number in range(SEED, SEED + SHORT):
        with new_project() as values:
            set_up(values, number, kernel=number == SEED)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_any_order_of_the_chapters_that_set_up(new_project: NewProject) -> None:
    for number in seeds("set-up"):
        with new_project() as values:
            set_up(values, number, kernel=number % EACH == 0)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_any_order_of_the_chapters_that_operate(new_project: NewProject) -> None:
    with new_project(replicas="2") as values:
        back(values)
        for number in seeds("operate"):
            operate(values, number)
