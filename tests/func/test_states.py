"""Any operation, and anything that happens meanwhile: one primary, no promise broken, always a way out.

Each step is drawn by hypothesis from a seed (PGREPL_SEED, else 1): the same seed does the same things
at the same moments, so that a failure can be tried again. PGREPL_STEPS is the number of steps of the
long test, PGREPL_PATIENCE a factor for its limits, for a machine that has other work to do.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from hypothesis.strategies import integers

from pgrepl_lib import Cluster
from tests.conftest import MakeCluster

from .disks import disk_of_its_own, mounted
from .operated import again, make
from .states import ON_ITS_OWN_DISK, ROOM, States

SEED = int(os.environ.get("PGREPL_SEED", "1"))
# Seeds of two steps: the disk is full or a replica cut off while commits are to wait; then the primary dies.
SHORT = {"local": 27, "docker": 8}
EACH = 25  # steps of one example; the next one begins with the cluster as this one left it
STEPS = {"local": 50, "docker": 25}


@pytest.fixture(scope="module")
def disk(workdir: Path) -> Iterator[Path]:
    """A file system that may become full; for a user who may make none, a folder."""
    folder = workdir / "states"
    folder.mkdir(exist_ok=True)
    with mounted(folder, f"size={ROOM}m,mode=755"):
        yield folder


@pytest.fixture(scope="module")
def cluster(engine_name: str, open_with: MakeCluster, disk: Path) -> Iterator[Cluster]:
    made = make(open_with, engine_name, workdir=str(disk))
    with disk_of_its_own(made, ON_ITS_OWN_DISK, ROOM):
        yield made
    again(made, open_with).remove(confirm=True)


def explore(
    cluster: Cluster, open_with: MakeCluster, *, examples: int, steps: int, chosen: int = SEED
) -> None:
    """So many examples of so many steps; the first failure ends it, and is not tried again: time cannot be turned back."""
    failures: list[BaseException] = []
    numbers = itertools.count(1)  # of the steps of all examples

    class AnythingAtAnyMoment(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            if failures:
                raise failures[0]
            self.states = States(cluster, open_with)

        @rule(number=integers(0, 2**32 - 1))
        def step(self, number: int) -> None:
            # Whatever its seed, hypothesis begins each example with the same numbers.
            drawn = random.Random(f"{chosen}, {number}, {next(numbers)}")
            try:
                self.states.step(drawn)
            except BaseException as error:
                failures.append(error)
                raise

        def teardown(self) -> None:
            if failures:
                return
            try:
                self.states.end()
            except BaseException as error:
                failures.append(error)
                raise

    given = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(chosen)(AnythingAtAnyMoment), settings=given)
    except Flaky:  # it tries again what failed, and finds it different
        assert failures
    if failures:
        raise failures[0]


def test_some_steps(engine_name: str, cluster: Cluster, open_with: MakeCluster) -> None:
    explore(cluster, open_with, examples=1, steps=2, chosen=SHORT[engine_name])


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_whatever_happens_there_is_one_primary_and_a_way_out(
    engine_name: str, cluster: Cluster, open_with: MakeCluster
) -> None:
    steps = int(os.environ.get("PGREPL_STEPS", STEPS[engine_name]))
    explore(cluster, open_with, examples=steps // EACH, steps=EACH)
