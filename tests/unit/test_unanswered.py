"""Whoever gives no answer, in whatever way: what leads on from there can be copied."""

from __future__ import annotations

import pytest

from pgrepl_lib.cluster.changes.unanswered import way, way_of_fenced
from pgrepl_lib.doors.answer import Answer, Kind
from pgrepl_lib.engine.life import Life
from pgrepl_lib.params import Params
from tests.remedies import commands_in

MADE = Params.parse({"project": "demo"})


@pytest.mark.parametrize("primary", [True, False])
@pytest.mark.parametrize("kind", [k for k in Kind if k is not Kind.ANSWERS])
@pytest.mark.parametrize("life", Life)
def test_each_way_of_giving_no_answer_names_a_command(
    life: Life, kind: Kind, primary: bool
) -> None:
    seen = Answer(kind)
    told = way("replica-2", life, seen, MADE, primary=primary)
    assert commands_in(told) and told.startswith("replica-2 (")
    assert ("pgrepl failover" in told) is (primary and not seen.lives), "only who may be lost"
    if life is Life.RUNNING and kind is Kind.REFUSES:
        assert f"{MADE.folder}/secrets/superuser" in told and "replica-2/pg_hba.conf" in told


def test_of_a_fenced_one_nothing_is_wanted_unless_it_hangs() -> None:
    wanted = {life for life in Life if commands_in(way_of_fenced("primary", life, MADE))}
    assert wanted == {Life.PAUSED, Life.RESTARTING, Life.ORPHANED}
