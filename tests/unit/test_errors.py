"""Errors: each says cause, facts and remedy, inherits a builtin, and has an exit code."""

from __future__ import annotations

import pytest

from pgrepl_lib import errors
from pgrepl_lib.errors import PgreplError, exit_code_of

CLASSES = {v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, PgreplError)}
CODES = {"ParameterError": 2, "EnvironmentLacking": 3, "ProjectBusy": 3}


@pytest.mark.parametrize("kind", sorted(CLASSES, key=lambda k: k.__name__))
def test_text_is_cause_facts_and_remedy(kind: type[PgreplError]) -> None:
    error = kind("It broke.", looked_at=["a", "b"], remedy="mend it")
    assert str(error) == "It broke.\n  seen: a\n  seen: b\n  what to do: mend it"
    assert str(kind("It broke.")) == "It broke."
    assert (error.cause, error.looked_at, error.remedy) == ("It broke.", ("a", "b"), "mend it")


@pytest.mark.parametrize("kind", sorted(CLASSES, key=lambda k: k.__name__))
def test_a_notebook_shows_the_three_parts_instead_of_a_traceback(kind: type[PgreplError]) -> None:
    lines = kind("It broke.", remedy="mend it")._render_traceback_()
    if kind is errors.CheckFailed:  # its cell has shown the rest
        assert lines == ["It broke."]
    else:
        assert lines == ["It broke.\n  what to do: mend it"]


@pytest.mark.parametrize("kind", sorted(CLASSES - {PgreplError}, key=lambda k: k.__name__))
def test_each_class_is_also_a_builtin_that_a_caller_would_catch(kind: type[PgreplError]) -> None:
    builtins = {b for b in kind.__mro__ if b.__module__ == "builtins"}
    assert builtins - {PgreplError, Exception, BaseException, object}


@pytest.mark.parametrize("kind", sorted(CLASSES, key=lambda k: k.__name__))
def test_exit_codes(kind: type[PgreplError]) -> None:
    assert kind.exit_code == CODES.get(kind.__name__, 1)
    assert exit_code_of(kind.__name__) == kind.exit_code


@pytest.mark.parametrize("name", ["NameError", "KeyboardInterrupt", "", "NoSuchError"])
def test_another_error_has_exit_code_1(name: str) -> None:
    assert exit_code_of(name) == 1


def test_an_interrupt_is_not_swallowed_by_handlers_of_the_rest() -> None:
    assert issubclass(errors.Interrupted, KeyboardInterrupt)
