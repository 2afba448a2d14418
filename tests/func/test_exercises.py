"""Exercises on a running cluster: each begins, is not right yet, refuses wrong answers, is solved, and is right."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.cli.options import FINDING
from pgrepl_lib.errors import ParameterError, ProjectBusy, StepFailed
from pgrepl_lib.exercises import workshop
from pgrepl_lib.exercises.chapters.all import ALL
from pgrepl_lib.journal.lock import step_lock
from tests.conftest import MakeCluster, set_up_primary, set_up_replica

from .running import pgrepl
from .wrong_answers import WRONG

pytestmark = pytest.mark.long_on_docker
# The others are tried by `make long`.
ONE_A_CHAPTER = (
    "missing-rule",
    "cascade",
    "changed-setting",
    "lagging-replica",
    "lost-slot",
    "half-done-switchover",
    "most-advanced",
    "hanging-commit",
    "open-door",
)


@pytest.fixture(scope="module")
def trained(engine_name: str, open_with: MakeCluster) -> Cluster:
    """A cluster that no run has recorded; the first exercise gives it a second replica."""
    made = open_with(engine_name)
    set_up_primary(made)
    set_up_replica(made)
    return made


def lacking(cluster: Cluster, name: str, wanted: set[str]) -> set[str]:
    """What the check lacks; a replica needs a moment to come back."""
    deadline = time.monotonic() + 15
    while (found := set(workshop.check(cluster, name).facts["missing"])) != wanted:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return found


@pytest.mark.parametrize(
    "name", [n if n in ONE_A_CHAPTER else pytest.param(n, marks=pytest.mark.long) for n in ALL]
)
def test_an_exercise_refuses_what_is_wrong_and_is_solved(trained: Cluster, name: str) -> None:
    workshop.reset(trained, name)
    first = workshop.check(trained, name)
    assert not first.facts["right"], first.text()
    for number, (act, wanted) in enumerate(WRONG[name], 1):
        act(trained)
        assert lacking(trained, name, wanted) == wanted, f"wrong answer {number}"
    told = workshop.check(trained, name)
    for found in told.facts["found"]:
        assert found["holds"] or found["look"], "it says where to look"
    workshop.solve(trained, name)
    last = workshop.check(trained, name)
    assert last.facts["right"], last.text()


def test_each_exercise_has_three_wrong_answers_and_two_hints() -> None:
    assert {name: len(wrong) for name, wrong in WRONG.items()} == dict.fromkeys(ALL, 3)
    assert all(len(each.hints) >= 2 for each in ALL.values())


def test_there_are_enough_and_enough_begin_with_a_fault() -> None:
    assert len(ALL) >= 24 and sum(each.broken for each in ALL.values()) >= 8
    counts = Counter(each.chapter for each in ALL.values())
    assert counts.keys() == {f"{number:02}" for number in range(1, 10)}
    assert min(counts.values()) >= 2 and set(ONE_A_CHAPTER) <= set(ALL)


def test_an_exercise_that_has_not_begun_or_whose_cluster_is_gone_says_so(
    open_with: MakeCluster,
) -> None:
    absent = open_with("local")
    for verb in (workshop.start, workshop.check, workshop.hint, workshop.solve, workshop.reset):
        with pytest.raises(StepFailed, match="is not there") as failed:
            verb(absent, "missing-rule")
        assert "pgrepl run" in failed.value.remedy


def test_what_became_of_an_exercise_is_in_the_journal(trained: Cluster) -> None:
    name = "lagging-replica"
    workshop.reset(trained, name)
    assert "goes on" not in workshop.reset(trained, name).title
    assert "goes on" in workshop.start(trained, name).title
    told = [workshop.hint(trained, name) for _ in range(4)]
    assert [each.facts["hint"] for each in told] == [1, 2, 3, 3]
    workshop.check(trained, name)
    with pytest.raises(ParameterError, match="asks for no answer"):
        workshop.answer(trained, "missing-rule", "x")
    workshop.solve(trained, name)
    workshop.check(trained, name)
    entries = [e for e in trained.journal.entries() if e["kind"] == "exercise"]
    events = [(e["event"], e.get("passed")) for e in entries if e["name"] == name][-8:]
    hints = [("hint", None)] * 4
    assert events == [
        ("reset", None),
        *hints,
        ("checked", False),
        ("solved", None),
        ("checked", True),
    ]
    (row,) = [row for row in workshop.listing(trained) if row["exercise"] == name]
    assert (row["status"], row["checks"], row["hints"]) == ("solved", 2, 4)
    assert 0 <= row["minutes"] < 2


def test_another_process_at_work_is_named_and_waited_for_by_nobody(trained: Cluster) -> None:
    other = open_cluster("", **trained.params.plain())
    with step_lock(trained.folder), pytest.raises(ProjectBusy, match="in use"):
        workshop.start(other, "missing-rule")


def test_another_clusters_beginning_does_not_count(trained: Cluster) -> None:
    """As after `pgrepl down` and `pgrepl run`: the journal stays, the fault does not."""
    workshop.reset(trained, "lagging-replica")
    other = open_cluster("", **trained.params.plain())
    other.engine.id = "another"
    with pytest.raises(StepFailed, match=r"has not begun|is not there"):  # whose volumes have an id
        workshop.check(other, "lagging-replica")


def test_what_was_left_for_another_exercise_or_for_their_end_is_not_judged_by_that(
    trained: Cluster,
) -> None:
    workshop.reset(trained, "reserving-slot")
    workshop.reset(trained, "refused-write")
    with pytest.raises(StepFailed, match="brought elsewhere"):
        workshop.check(trained, "reserving-slot")
    workshop.end(trained)
    assert len(trained.replicas) == 2
    with pytest.raises(StepFailed, match="brought elsewhere"):
        workshop.check(trained, "refused-write")
    assert "goes on" not in workshop.start(trained, "refused-write").title


def test_the_command_answers_as_machines_read_it(trained: Cluster) -> None:
    values = {n: str(v) for n, v in trained.params.plain().items() if n in FINDING}
    tried = pgrepl("exercise test refused-write --json", values)
    (row,) = json.loads(tried.stdout)
    assert tried.returncode == 0 and row["outcome"] == "passed"
    assert list(row["seconds"]) == ["start", "check", "solve", "check again"]
    assert pgrepl("exercise reset 3.3", values).returncode == 0
    checked = pgrepl("exercise check refused-write --json", values)
    assert checked.returncode == 1 and json.loads(checked.stdout)["missing"] == ["answer"]
    for command in ("exercise hint refused-writes", "exercise test refused-write nothing"):
        unknown = pgrepl(command, values)
        assert unknown.returncode == 2 and not unknown.stdout
        assert "There is no exercise" in unknown.stderr and "pgrepl exercise list" in unknown.stderr
