"""While steps are only planned, the doors look, and what would be left is seen."""

from __future__ import annotations

from pathlib import Path

import pandas

from pgrepl_lib.doors import ahead, files
from pgrepl_lib.doors.answer import ask_all
from pgrepl_lib.journal.audit import Journal


def test_files_are_written_and_removed_over_what_is_foreseen(tmp_path: Path) -> None:
    there, new = tmp_path / "there", tmp_path / "new"
    there.write_text("before")
    with ahead.look_ahead():
        files.write_atomic(there, "after", 0o600)
        files.write_atomic(new, b"made")
        assert (files.text(there), files.mode(there), files.content(new)) == (
            "after",
            0o600,
            b"made",
        )
        files.remove(new)
        assert not files.there(new)
        Journal(tmp_path).record("step")
    assert (there.read_text(), list(tmp_path.iterdir())) == ("before", [there])


def test_what_a_step_would_leave_is_seen_instead_of_asked_also_by_threads() -> None:
    with ahead.look_ahead():
        ahead.leaves("primary", life="stopped")()
        assert ahead.uncertain()
        assert ask_all(life_of, ["primary", "replica"]) == ["stopped", "asked"]
    assert life_of("primary") == "asked" and not ahead.uncertain()


def life_of(name: str) -> str:
    return ahead.fact("life", name, lambda: "asked")


def test_the_slots_of_one_server_are_told_from_those_of_another() -> None:
    with ahead.look_ahead():
        ahead.leaves("replica/replica_1_slot", slot=True)()
        ahead.leaves("replica-2/replica_1_slot", slot=False)()
        assert ahead.facts("slot", "replica") == {"replica_1_slot": True}
        assert not ahead.uncertain(), "who runs and who writes is as it is"


@ahead.measured
def lag(seconds: float) -> pandas.DataFrame:
    return pandas.DataFrame({"bytes": [seconds]})


@ahead.judged_now
def refuse() -> None:
    raise ValueError("refused")


def test_what_is_measured_is_unknown_and_what_is_made_of_it_too() -> None:
    with ahead.look_ahead():
        unknown = lag(1)
        assert unknown.groupby("name")[["bytes"]].max().reset_index() is unknown
        assert pandas.DataFrame(unknown["instances"]).empty and list(unknown) == []
    assert lag(1)["bytes"].tolist() == [1]


def test_what_refuses_by_the_servers_is_not_judged_once_they_would_be_others() -> None:
    with ahead.look_ahead():
        try:
            refuse()
        except ValueError:
            ahead.leaves("primary", life="stopped")()
        assert ahead.uncertain()
        refuse()
