"""What a person reads: in the language that is spoken, and again in another one from a record."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from pgrepl_lib.doors.answer import Answer, Kind
from pgrepl_lib.errors import StepFailed
from pgrepl_lib.journal.audit import Journal, said
from pgrepl_lib.params import Params
from pgrepl_lib.words import language
from pgrepl_lib.words.commands import addressed
from pgrepl_lib.words.language import ENGLISH, PORTUGUESE, speaking
from pgrepl_lib.words.quoted import LIBRARIES, LOG, PROGRAM, PYTHON, quoted, refused
from pgrepl_lib.words.redact import MASK, redact, register
from pgrepl_lib.words.text import CATALOGUES, Text, again, joined, t
from tests.catalogues import TRANSLATED, places

LIBRARY = Path(__file__).parents[2] / "pgrepl_lib"
MODULES = {str(p.relative_to(LIBRARY)): p for p in sorted(LIBRARY.rglob("*.py"))}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, ENGLISH),
        ({"LANG": "pt_BR.UTF-8"}, PORTUGUESE),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, ENGLISH),
        ({"LANG": "de_DE"}, ENGLISH),
        ({"LANG": "C", "PGREPL_LANG": "pt"}, PORTUGUESE),
        ({"LANG": "pt_PT", "PGREPL_LANG": "en"}, ENGLISH),
    ],
)
def test_the_environment_says_the_language(
    environment: dict[str, str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in language.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert language.of_user() == wanted


def test_a_text_is_said_in_both_languages_from_one_record() -> None:
    text = joined("; ", [t("expected"), t("  seen: {fact}", fact=t("not tried"))])
    assert text == "expected;   seen: not tried"
    facts = json.loads(json.dumps(text.facts))
    with speaking(PORTUGUESE):
        assert again(facts) == "esperado;   visto: não tentado"
    assert again(facts) == text


def test_a_text_is_kept_whatever_tells_it() -> None:
    """What has a text of its own is part of another one; only what a secret was in is a plain one."""
    seen = Answer(Kind.HUNG, t("no answer within {seconds} s", seconds=3))
    error = StepFailed(t("{name} did not start.", name="replica"), looked_at=[redact(seen.told)])
    with speaking(PORTUGUESE):
        told = again(error.text().facts)
    assert told == "replica não iniciou.\n  visto: travada: nenhuma resposta em 3 s"
    assert redact(t("in {folder}", folder=register("a secret folder"))) == f"in {MASK}"


def test_an_error_is_told_in_the_language_that_is_spoken() -> None:
    error = StepFailed("No.", looked_at=["a fact"], remedy="this")
    assert str(error) == "No.\n  seen: a fact\n  what to do: this"
    with speaking(PORTUGUESE):
        assert str(error) == "No.\n  visto: a fact\n  o que fazer: this"


def test_a_command_in_a_text_names_its_cluster_in_every_language() -> None:
    demo = Params.parse({"project": "demo"})
    text = addressed(t("  what to do: {remedy}", remedy="`pgrepl run`"), demo)
    assert text == "  what to do: `pgrepl run --project demo`" and isinstance(text, Text)
    with speaking(PORTUGUESE):
        assert again(text.facts) == "  o que fazer: `pgrepl run --project demo`"


def test_what_was_recorded_in_one_language_is_read_in_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record("step", title=t("not tried"), outcome="changed")
    with speaking(PORTUGUESE):
        journal.record("step", title=t("not tried"), outcome="changed")
        assert [said(e, "title") for e in journal.entries()] == ["não tentado"] * 2
    assert [said(e, "title") for e in journal.entries()] == ["not tried"] * 2
    assert said({"title": "Um título antigo"}, "title") == "Um título antigo"


@pytest.mark.parametrize(
    "facts",
    [
        None,
        7,
        [],
        {},
        {"message": "somebody's own"},
        {"message": "{0.__class__}", "values": {}},
        {"message": "  seen: {fact}", "values": {"other": "x"}},
        {"message": "  seen: {fact}", "values": ["x"]},
        {"message": "  seen: {fact}", "values": {"fact": ["x"]}, "options": 7},
        {"joined": "; ", "parts": 7},
    ],
)
def test_a_record_that_is_not_ours_is_read_as_it_was_said(facts: object) -> None:
    assert again(facts, "as it was") in ("as it was", "  seen: ['x']")


def called(path: Path) -> Iterator[tuple[ast.Call, bool]]:
    """Each text in a module, and whether it stands where nobody finds it for the catalogues."""
    tree = ast.parse(path.read_text("utf-8"))
    hidden = {part for f in ast.walk(tree) if isinstance(f, ast.JoinedStr) for part in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("t", "mark"):
            yield node, node in hidden


@pytest.mark.parametrize("module", MODULES)
def test_every_text_is_found_and_has_its_values(module: str) -> None:
    for call, hidden in called(MODULES[module]):
        first, where = call.args[0], f"{module}, line {call.lineno}"
        assert not hidden, f"{where}: gettext does not look into f-strings"
        assert not isinstance(first, (ast.JoinedStr, ast.BinOp)), (
            f"{where}: a literal, with {{places}}"
        )
        if isinstance(first, ast.Constant) and getattr(call.func, "id", "") == "t":
            given = {keyword.arg for keyword in call.keywords}
            assert None in given or places(str(first.value)) == given or not given, where


@pytest.mark.parametrize("translated", TRANSLATED)
def test_a_message_is_translated_alike_in_all_rooms(translated: str) -> None:
    """The rooms' catalogues are one where a text is said."""
    found: dict[str, set[str]] = {}
    for path in (CATALOGUES / translated).rglob("*.po"):
        with path.open("rb") as file:
            for message in read_po(file):
                found.setdefault(str(message.id), set()).add(str(message.string))
    found.pop("")
    assert {said: told for said, told in found.items() if len(told) > 1} == {}


@pytest.mark.parametrize("who", [*LIBRARIES.values(), PROGRAM, LOG, PYTHON, "pg_basebackup"])
def test_what_others_said_can_be_told_again_in_another_language(who: str) -> None:
    with speaking(PORTUGUESE):
        told = quoted(who, "no such thing")
    assert "disse: “no such thing”" in told
    with speaking(ENGLISH):
        assert again(told.facts) == quoted(who, "no such thing")


def test_a_word_of_postgresql_hinders_no_translation() -> None:
    with speaking(PORTUGUESE):
        told = joined(": ", [t("an answer"), t("catchup"), quoted(PYTHON, str(t("startup")))])
    with speaking(ENGLISH):
        assert again(told.facts) == "an answer: catchup: Python said: “startup”"


def test_no_text_sends_its_reader_to_a_page_that_an_installed_package_does_not_have() -> None:
    texts = "\n".join(path.read_text("utf-8") for path in CATALOGUES.rglob("*.po"))
    assert not re.search(r"^(msgid|msgstr|) *\".*(README|docs/|CONTRIBUTING)", texts, re.MULTILINE)


def test_of_what_libpq_says_the_reason_is_told_and_not_its_advice() -> None:
    at = 'connection to server at "127.0.0.1", port 5432 failed:'
    advice = "\n\tIs the server running on that host and accepting TCP/IP connections?"
    assert "Connection refused”" in refused(f"psql: error: {at} Connection refused{advice}\n")
    two = f"{at} Connection refused{advice}\n{at} FATAL:  no pg_hba.conf entry"
    assert "FATAL:  no pg_hba.conf entry”" in refused(two)
