"""Both READMEs say the same, and what they say of parameters and commands is what the program has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgrepl_lib.cli import main
from pgrepl_lib.params import Params

ROOT = Path(__file__).parents[2]
BOTH = ("README.md", "README.pt-BR.md")


@pytest.mark.parametrize("name", BOTH)
def test_every_parameter_is_in_the_table(name: str) -> None:
    assert re.findall(r"^\| `(\w+)` \|", (ROOT / name).read_text("utf-8"), re.M) == list(Params.model_fields)


@pytest.mark.parametrize("name", BOTH)
def test_every_command_and_local_link_exists(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert all(f"pgrepl {command}" in text for command in main.commands)
    assert all((ROOT / target).exists() for target in re.findall(r"\]\(([^)#:]+)\)", text))


def test_the_translation_keeps_step() -> None:
    english, portuguese = ((ROOT / name).read_text("utf-8") for name in BOTH)
    for pattern in (r"^#+ ", r"^\| ", r"^```", r"!\["):
        assert len(re.findall(pattern, english, re.M)) == len(re.findall(pattern, portuguese, re.M)), pattern
    assert re.findall(r"\d+\.\d+ \(\d+\.\d+", english) == re.findall(r"\d+\.\d+ \(\d+\.\d+", portuguese), "figures"
