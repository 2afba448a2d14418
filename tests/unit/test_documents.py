"""The README and docs/: both languages say the same, and what they name is what the program has."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pgrepl_lib.cli.main import main
from pgrepl_lib.params import Params, variable
from tests.remedies import commands, commands_in

ROOT = Path(__file__).parents[2]
PAIRS = {
    "README.md": "README.pt-BR.md",
    "docs/automation.md": "docs/automacao.md",
    "docs/benchmarks.md": "docs/desempenho.md",
    "docs/class.md": "docs/turma.md",
    "docs/evidence.md": "docs/evidencias.md",
    "docs/exercises.md": "docs/exercicios.md",
    "docs/installation.md": "docs/instalacao.md",
    "docs/operations.md": "docs/operacao.md",
    "docs/reference.md": "docs/referencia.md",
    "docs/rejoin.md": "docs/rejoin.pt-BR.md",
    "docs/states.md": "docs/estados.md",
    "docs/verification.md": "docs/verificacao.md",
}
ALONE = (
    "docs/guia.md",
    "docs/oficina.md",
    "docs/predicate-run-v1.md",
    "docs/predicate-completion-v1.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)
PAGES = {n: (ROOT / n).read_text("utf-8") for n in (*PAIRS, *PAIRS.values(), *ALONE)}
REFERENCE = ("docs/reference.md", "docs/referencia.md")
PLACEHOLDERS = {"NOME": "NAME", "ARQUIVO": "FILE", "RESPOSTA": "ANSWER", "PASTA": "FOLDER"}
COMMON = {
    *(f"--{name.replace('_', '-')}" for name in Params.model_fields),
    *("--parameter", "-p", "--json", "-q"),
}


def words_of(text: str) -> list[str]:
    """The text's commands, with placeholders that read the same in both languages."""
    pattern = "|".join(PLACEHOLDERS)
    return [re.sub(pattern, lambda m: PLACEHOLDERS[m[0]], c) for c in commands_in(text)]


def shape(text: str) -> dict[str, object]:
    """What a page and its translation have in common."""
    figures = re.findall(r"\d+\.\d\d?\b", re.sub(r"(?<=\d),(?=\d\d?\b)", ".", text))
    return {
        "headings": re.findall(r"^#+ ", text, re.M),
        "rows": [line.count(" | ") for line in re.findall(r"^\| .*", text, re.M)],
        "examples": re.findall(r"^```\w*", text, re.M),
        "pictures": re.findall(r"!\[[^]]*\]\(([^)]+)\)", text),
        "items": len(re.findall(r"^- ", text, re.M)),
        "commands": Counter(words_of(text)),
        "targets of make": Counter(re.findall(r"(?:`|\$ )(make [a-z]+(?: ARGS='[^']*')?)", text)),
        "figures": Counter(figures),
    }


def test_each_page_has_its_translation() -> None:
    there = {f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")}
    assert there == {n for n in PAGES if n.startswith("docs/")}


@pytest.mark.parametrize("name", PAIRS)
def test_the_translation_keeps_step(name: str) -> None:
    translation = shape(PAGES[PAIRS[name]])
    for what, english in shape(PAGES[name]).items():
        assert translation[what] == english, what


def test_the_readme_is_short() -> None:
    for name in ("README.md", "README.pt-BR.md"):
        assert len(PAGES[name].splitlines()) <= 120


# --- links ------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The headings' anchors, as code-hosting sites make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_page_and_its_section(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text("utf-8")), target


def test_every_file_that_contributors_are_sent_to_exists() -> None:
    named = re.findall(r"`([\w./-]+(?:\.py|\.ipynb|\.md))`", PAGES["CONTRIBUTING.md"])
    places = (ROOT, ROOT / "pgrepl_lib")
    assert [n for n in named if not any((place / n).exists() for place in places)] == []


# --- commands, options and parameters -------------------------------------------------------------------------


def typed(text: str) -> Iterator[str]:
    """What a reader would type: commands in backticks, and those after a `$`."""
    yield from commands_in(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    for line in re.findall(r"^\$ (.*)$", text, re.M):
        for part in re.split(r"\s#|; ", line):
            if part.strip().startswith("pgrepl "):
                yield part.strip()


HISTORY = "CHANGELOG.md"  # names what is no more, too
TYPED = sorted({(n, c) for n, text in PAGES.items() if n != HISTORY for c in typed(text)})


@pytest.mark.parametrize(("name", "command"), TYPED)
def test_every_command_is_one_of_the_command_line(name: str, command: str) -> None:
    words = shlex.split(command)
    assert words.pop(0) == "pgrepl"
    found: click.Command = main
    while isinstance(found, click.Group) and words:
        found = found.commands[words.pop(0)]
    if not isinstance(found, click.Group):
        found.make_context("pgrepl", words)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_has_every_command_with_all_its_options(name: str) -> None:
    rows = re.findall(r"^\| `pgrepl ([^`]+)` \| (.*?) ?\| ", PAGES[name], re.M)
    for words, command in commands(main):
        (options,) = [o for line, o in rows if line == words or line.startswith(f"{words} ")]
        shown = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        own = {o for p in shown for o in p.opts}
        told = set(re.findall(r"`(--[\w-]+)`", options))
        assert told - COMMON == own - COMMON, words


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_has_every_parameter_with_its_default(name: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", PAGES[name], re.M))
    assert list(rows) == list(Params.model_fields)
    for parameter, field in Params.model_fields.items():
        if parameter not in (
            "image",
            "workdir",
            "certificates",
        ):  # made of others, and of who asks; empty
            assert rows[parameter] == f"`{field.default}`"


@pytest.mark.parametrize("name", [*PAIRS, *PAIRS.values()])
def test_every_variable_and_every_target_of_make_exists(name: str) -> None:
    known = {
        *(variable(parameter) for parameter in Params.model_fields),
        "PGREPL_SIGNING_KEY",
        "PGREPL_LANG",
    }
    assert set(re.findall(r"PGREPL_[A-Z_]*[A-Z]", PAGES[name])) <= known
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert set(re.findall(r"`make ([a-z]+)", PAGES[name])) <= set(targets)
