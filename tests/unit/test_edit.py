"""An edit is known before it is made: what it changes, whether it is made, and what it adds."""

from __future__ import annotations

from pathlib import Path

from pgrepl_lib.doors import ahead, files
from pgrepl_lib.engine.action import Action
from pgrepl_lib.engine.edit import Edit, diffs


def edit(folder: Path, **blocks: list[str] | None) -> Edit:
    return Edit(folder, "replica/postgresql.conf", blocks)


def test_edits_of_one_file_are_shown_one_after_the_other_and_made_so(tmp_path: Path) -> None:
    (tmp_path / "primary").mkdir()
    (tmp_path / "primary/postgresql.conf").write_text("port = 5432\n")
    first = Edit(
        tmp_path,
        "replica/postgresql.conf",
        {"standby": ["a = 1"]},
        begins_as=tmp_path / "primary/postgresql.conf",
    )
    second = edit(tmp_path, standby=None, drill=["b = 2"])
    shown = diffs([first, second])
    assert shown.count("--- replica/postgresql.conf") == 2
    assert "+a = 1\n" in shown and "-a = 1\n" in shown and "+b = 2\n" in shown
    assert not first.path.exists(), "nothing is made by asking"
    first.write()
    first.path.chmod(0o600)
    second.write()
    text = "port = 5432\n\n# >>> pgrepl: drill\nb = 2\n# <<< pgrepl: drill\n"
    assert first.path.read_text() == text and first.path.stat().st_mode & 0o777 == 0o600
    assert second.done() and not first.done() and diffs([second]) == ""
    assert "+b = 2\n" in second.adds(), "also once it is made"


def test_what_takes_out_nothing_is_no_edit(tmp_path: Path) -> None:
    nothing, something = edit(tmp_path, fence=None), edit(tmp_path, fence=["x"])
    action = Action(("a", nothing, something), print)
    assert action.typed() == ("a", something) == action.pending()
    nothing.write()
    assert not nothing.path.exists()
    something.path.parent.mkdir()
    something.write()
    assert action.typed() == ("a", nothing, something) and action.pending() == ("a", nothing)


def test_what_is_foreseen_is_seen_by_whoever_looks_ahead_and_by_nobody_else(tmp_path: Path) -> None:
    made = edit(tmp_path, fence=["x"])
    with ahead.look_ahead():
        made.write()
        assert made.done() and made.adds() and files.there(made.path)
    assert not made.done() and not files.there(made.path) and not made.path.exists()
