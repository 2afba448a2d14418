"""The settings that our sessions ask for, as libpq takes them."""

from __future__ import annotations

from pgrepl_lib.postgres import sessions


def test_settings_are_written_as_options() -> None:
    given = {"a": "1", "b": "two words", "c": "back\\slash", "d": ""}
    assert sessions.options(given) == "-c a=1 -c b=two\\ words -c c=back\\\\slash -c d="


def test_settings_are_written_as_statements() -> None:
    assert sessions.statements({"a": "1", "b": "-1"}) == "set a = 1; set b = -1;"


def test_a_session_that_looks_as_a_client_does_leaves_out_only_what_it_looks_for() -> None:
    assert set(sessions.OURS) - set(sessions.AS_A_CLIENT) == {"default_transaction_read_only"}
