"""The guide: the corrected document as Markdown, made of the chapters and what they displayed.

The stored outputs of the notebooks are the source: what nbval compares with a real run is what the
guide tells people to type. It is in Portuguese, as the chapters are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from ..doors.command import shell_text
from ..doors.show import wrapped
from ..journal.chapter import SET_UP, cells
from ..words.language import PORTUGUESE, speaking
from ..words.text import mark, t
from . import template

ONLY_NOTEBOOK = "somente-caderno"  # the tag of cells that speak of the notebook itself
DOCUMENTED_FOLDER, FOLDER = "/var/lib/pgrepl/pgrepl", '"$HOME/pgrepl"'
PSQL = ("docker", "compose", "exec", "-T", "-u", "postgres")
RECOVERY = "select pg_is_in_recovery()"
SLOTS = "select slot_name, slot_type, active, restart_lsn from pg_replication_slots"
RECEIVER = "select status, sender_host, sender_port, slot_name from pg_stat_wal_receiver"
IDENTIFIER = "select system_identifier from pg_control_system()"
UNUSED = "select name, setting, error from pg_file_settings where not applied"
SENDERS = "select application_name, state from pg_stat_replication"
ON_BOTH = ("primary", "replica")
# What stands for a check that takes more than looking: questions (instance, statement), and what
# the answer should be.
BY_HAND = {
    "primary-writes": (
        [("primary", RECOVERY)],
        mark("`f`: it is not in recovery, and accepts writes."),
    ),
    "replica-refuses-writes": (
        [("replica", RECOVERY)],
        mark("`t`: it is in recovery, and only accepts reads."),
    ),
    "streaming": ([("primary", SENDERS)], mark("`replica-1` in `streaming`.")),
    "slot": (
        [("primary", SLOTS)],
        mark("`replica_1_slot`, `physical`, `active` true (`t`) and a `restart_lsn`."),
    ),
    "receiver": (
        [("replica", RECEIVER)],
        mark("`streaming`, from `primary`, port 5432, by `replica_1_slot`."),
    ),
    "same-cluster": ([(name, IDENTIFIER) for name in ON_BOTH], mark("the same number on both.")),
    "settings": (
        [(name, UNUSED) for name in ON_BOTH],
        mark("no line: nothing that stands in the files has been left out."),
    ),
    "contents": (
        [
            ("primary", "create table prova as select generate_series(1, 100000) as n"),
            ("replica", "select count(*), sum(n) from prova"),
            ("primary", "drop table prova"),
        ],
        mark("100000 rows, whose sum is 5000050000 (the chapter compares a digest of them all)."),
    ),
}
LEFT_OUT = re.compile(
    r"^(# |\*\*(Capítulo \d\d|Antes|Próximo passo:?)\*\*).*?(\n\n|\Z)", re.DOTALL | re.MULTILINE
)


def text() -> str:
    """The whole guide."""
    with speaking(PORTUGUESE):
        parts = [part for chapter in SET_UP for part in _chapter(chapter)]
        reference = parts.pop() if parts[-1].startswith("### Referência") else ""
        page = template.unescaped().get_template("guide.md.j2")
        whole = page.render(parts=parts, reference=reference)
    return re.sub(r"\n{3,}", "\n\n", whole).rstrip() + "\n"


def _chapter(chapter: str) -> Iterator[str]:
    yield f"## {_title(''.join(cells(chapter)[0]['source']))}\n"
    for cell in cells(chapter):
        source = "".join(cell["source"])
        if ONLY_NOTEBOOK in cell["metadata"].get("tags", []):
            continue
        if cell["cell_type"] == "markdown":
            yield _prose(source)
        else:
            yield from (part for output in cell["outputs"] for part in _displayed(source, output))


def _title(first_cell: str) -> str:
    named = re.search(r"^\*\*Capítulo \d\d · (.*?)\*\*", first_cell, re.MULTILINE)
    return named[1] if named else first_cell.partition("\n")[0].removeprefix("# ")


def _prose(source: str) -> str:
    """Without the title and what leads on; headings and links as they are in the guide."""
    lower = re.sub(r"^#+ ", "### ", LEFT_OUT.sub("", source), flags=re.MULTILINE)
    return re.sub(r"\]\((\d\d-[^)]*\.ipynb|README\.md)\)", r"](../notebooks/\1)", lower) + "\n"


def _displayed(source: str, output: dict[str, Any]) -> Iterator[str]:
    """What an output showed: a step's commands, a check's questions and answer, a query's table."""
    shown = output.get("data", {})
    markdown = "".join(shown.get("text/markdown", ""))
    if step := re.match(r"`\w+` · \*\*(.*?)\*\*\n", markdown):
        yield f"**{step[1]}**\n\n```sh\n{_typed(markdown)}\n```\n"
    elif check := re.match(r"✔ \*\*(.*?)\*\*\n", markdown):
        questions, answer = BY_HAND[re.findall(r'cluster\.check\("([^"]+)"', source)[0]]
        expected = t("Expected: {fact}", fact=t(answer))
        yield f"**{check[1]}**\n\n{_psql(*questions)}\n{expected}\n"
    elif query_of := _query(source):
        table, expected = "".join(shown.get("text/plain", "")), t("Expected:")
        yield f"{_psql(query_of)}\n{expected}\n\n```text\n{table}\n```\n"


def _typed(markdown: str) -> str:
    """The commands without their `$`, each edit with its diff, in the reader's own folder."""
    block = re.findall(r"```console\n(.*?)\n```", markdown, re.DOTALL)[0]
    diff = "".join(re.findall(r"```diff\n(.*?\n)```", markdown, re.DOTALL))
    lines = block.replace(DOCUMENTED_FOLDER, FOLDER).split("\n")
    typed = [line.removeprefix("$ ") for line in lines]
    edited = [f"{line} <<'END'\n{diff}END" if line.startswith("patch ") else line for line in typed]
    return "\n".join(edited)


def _query(source: str) -> tuple[str, str] | None:
    """The instance and the statement of a cell that shows a query."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(ast.Attribute(instance, "query"), [statement, *_]):
                return ast.unparse(instance).rpartition(".")[2], ast.literal_eval(statement)
    return None


def _psql(*questions: tuple[str, str]) -> str:
    typed = (
        shell_text((*PSQL, instance, "psql", "-c", f"{query};")) for instance, query in questions
    )
    return "```sh\n" + "\n".join(map(wrapped, typed)) + "\n```\n"
