"""What is shown: nothing that comes from outside steers the terminal, wherever it is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from pandas import DataFrame

from pgrepl_lib.cli import output
from pgrepl_lib.cli.running import _text
from pgrepl_lib.doors import show
from pgrepl_lib.notebook.tables import table
from pgrepl_lib.steps.planning import Planned
from pgrepl_lib.words.language import PORTUGUESE, speaking

# Clears the screen, sets the window's title, reorders what follows, goes back in the line.
HOSTILE = "t\x1b[2J\x1b]0;pwned\x07\u202eable\rx"
SHOWN: dict[str, Callable[[], object]] = {
    "a result": lambda: output.give(False, {}, f"{HOSTILE} is thrown away"),
    "a result as JSON": lambda: output.give(True, {"name": HOSTILE}, ""),
    "a table of a command": lambda: output.print_table([{"name": HOSTILE}]),
    "a table": lambda: show.table(("",), [(HOSTILE,)]),
    "a step": lambda: show.step(HOSTILE, "changed", [HOSTILE], HOSTILE),
    "a check": lambda: show.check(HOSTILE, "failed", HOSTILE, HOSTILE, HOSTILE),
    "a plan": lambda: output.give(
        False,
        [],
        _text([Planned("01", "cell", "step", HOSTILE, "would change", [HOSTILE], HOSTILE)]),
        styled=True,
    ),
}


@pytest.mark.parametrize("what", SHOWN)
def test_nothing_from_outside_steers_the_terminal(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    SHOWN[what]()
    shown = "".join(capsys.readouterr())
    assert "able" in shown and not set(shown) & {"\x1b", "\x07", "\r", "\u202e"}


def test_progress_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with show.progress(HOSTILE) as tell:
        tell(f"{HOSTILE}\nmore")
    ours = "\r\x1b[K"
    told = capsys.readouterr().err
    assert (
        told.startswith(ours)
        and told.endswith(ours)
        and not set(told.replace(ours, "")) & {"\x1b", "\r", "\n"}
    )


def test_a_table_cuts_no_text_short() -> None:
    answer = "no space left on device " * 20
    assert answer.strip() in repr(table(DataFrame({"answer": [answer]})))


@pytest.mark.parametrize(("word", "said"), [("held by a query", "retido"), (None, "")])
def test_what_replay_does_is_told_in_the_language_spoken(word: str | None, said: str) -> None:
    with speaking(PORTUGUESE):
        (seen,) = table(DataFrame({"name": ["replica"], "replay": [word]}))["replay"]
    assert seen.startswith(said) and (seen or not said)
