"""The guide: the corrected document as Markdown, made of the chapters' texts and of what their steps displayed.

The stored outputs of the notebooks are the source (docker engine, every parameter at its default): what nbval compares
with a real run is what the guide tells people to type.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from ..doors.command import shell_text
from ..doors.resources import NOTEBOOKS
from ..doors.show import wrapped
from ..journal.chapter import SET_UP

ONLY_NOTEBOOK = "somente-caderno"  # the tag of cells that speak of the notebook itself
DOCUMENTED_FOLDER, FOLDER = "/var/lib/pgrepl/pgrepl", '"$HOME/pgrepl"'
PSQL = ("docker", "compose", "exec", "-T", "-u", "postgres")
# What stands for a check that takes more than looking: questions (instance, statement), and what the answer should be.
BY_HAND = {
    "primary-writes": (
        [("primary", "select pg_is_in_recovery()")],
        "`f`: ela não está em recovery, e aceita escritas.",
    ),
    "replica-refuses-writes": (
        [("replica", "select pg_is_in_recovery()")],
        "`t`: está em recovery, e só aceita leituras.",
    ),
    "streaming": (
        [("primary", "select application_name, state from pg_stat_replication")],
        "`replica-1` em `streaming`.",
    ),
    "slot": (
        [("primary", "select slot_name, slot_type, active, restart_lsn from pg_replication_slots")],
        "`replica_1_slot`, `physical`, `active` verdadeiro (`t`) e um `restart_lsn`.",
    ),
    "receiver": (
        [
            (
                "replica",
                "select status, sender_host, sender_port, slot_name from pg_stat_wal_receiver",
            )
        ],
        "`streaming`, de `primary`, porta 5432, pelo `replica_1_slot`.",
    ),
    "same-cluster": (
        [
            (name, "select system_identifier from pg_control_system()")
            for name in ("primary", "replica")
        ],
        "o mesmo número nas duas.",
    ),
    "settings": (
        [
            (name, "select name, setting, error from pg_file_settings where not applied")
            for name in ("primary", "replica")
        ],
        "nenhuma linha: nada do que está nos arquivos deixou de valer.",
    ),
    "contents": (
        [
            ("primary", "create table prova as select generate_series(1, 100000) as n"),
            ("replica", "select count(*), sum(n) from prova"),
            ("primary", "drop table prova"),
        ],
        "100000 linhas, que somam 5000050000 (o capítulo compara um resumo de todas elas).",
    ),
}
HEAD = """<!-- Gerado por `pgrepl guide` a partir dos capítulos 00 a 03; não edite este arquivo. -->

# Replicação por streaming no PostgreSQL 14, passo a passo

Este guia é o documento original corrigido, para ler e seguir à mão em um terminal: cada comando é exatamente o que os capítulos
executaram e mostraram, com Docker e os valores padrão. Copie os blocos em ordem, um de cada vez, todos no mesmo terminal: o
primeiro cria a pasta do cluster e entra nela. Você precisa de `docker` com o Compose (`docker compose`), `openssl` e `patch`.

Nestas páginas, **WAL** é o diário em que o PostgreSQL grava cada alteração antes de levá-la aos arquivos de dados; a replicação
por streaming envia esse diário à réplica à medida que é escrito. Um **slot** é a promessa da primária de guardar o WAL que a
réplica ainda não recebeu. **Base backup** é a cópia inicial dos dados. Onde o documento original erra ou se cala, há uma
**correção** numerada.

Prefere que o trabalho seja feito e conferido por você? `make run`, na pasta do repositório, executa os mesmos passos.
"""
END = """
## Como desfazer

Isto remove os containers, a rede, **os dados** das duas instâncias e os arquivos que os passos
criaram. O pgrepl só remove o que leva a marca desta pasta; `docker compose down --volumes`
removeria pelo nome, também o que é de outra pessoa.

```sh
pgrepl down --project pgrepl -p workdir "$HOME" --engine docker --yes
```
"""
LEFT_OUT = re.compile(
    r"^(# |\*\*(Capítulo \d\d|Antes|Próximo passo:?)\*\*).*?(\n\n|\Z)", re.DOTALL | re.MULTILINE
)


def text() -> str:
    """The whole guide."""
    parts = [part for chapter in SET_UP for part in _chapter(chapter)]
    reference = [parts.pop()] if parts[-1].startswith("### Referência") else []
    return re.sub(r"\n{3,}", "\n\n", "\n".join((HEAD, *parts, END, *reference))).rstrip() + "\n"


def _chapter(chapter: str) -> Iterator[str]:
    cells = json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text("utf-8"))["cells"]
    yield f"## {_title(''.join(cells[0]['source']))}\n"
    for cell in cells:
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
    """At the document's heading level, without the title and what leads from one notebook to the next.

    Links lead to the notebooks from the guide's folder.
    """
    lower = re.sub(r"^#+ ", "### ", LEFT_OUT.sub("", source), flags=re.MULTILINE)
    return re.sub(r"\]\((\d\d-[^)]*\.ipynb|README\.md)\)", r"](../notebooks/\1)", lower) + "\n"


def _displayed(source: str, output: dict[str, Any]) -> Iterator[str]:
    """What an output showed: a step's commands, a check's question and answer, or a query's table."""
    shown = output.get("data", {})
    markdown = "".join(shown.get("text/markdown", ""))
    if step := re.match(r"`(?:un)?changed` · \*\*(.*?)\*\*\n", markdown):
        yield f"**{step[1]}**\n\n```sh\n{_typed(markdown)}\n```\n"
    elif check := re.match(r"✔ \*\*(.*?)\*\*\n", markdown):
        questions, answer = BY_HAND[re.findall(r'cluster\.check\("([^"]+)"', source)[0]]
        yield f"**{check[1]}**\n\n{_psql(*questions)}\nEsperado: {answer}\n"
    elif query_of := _query(source):
        yield f"{_psql(query_of)}\nEsperado:\n\n```text\n{''.join(shown.get('text/plain', ''))}\n```\n"


def _typed(markdown: str) -> str:
    """The commands without their `$`, each edit with its diff, in the reader's own folder."""
    block = re.findall(r"```console\n(.*?)\n```", markdown, re.DOTALL)[0]
    diff = "".join(re.findall(r"```diff\n(.*?\n)```", markdown, re.DOTALL))
    typed = re.sub(r"^\$ ", "", block, flags=re.MULTILINE).replace(DOCUMENTED_FOLDER, FOLDER)
    return re.sub(
        r"^(patch .*)$", lambda m: f"{m[1]} <<'END'\n{diff}END", typed, flags=re.MULTILINE
    )


def _query(source: str) -> tuple[str, str] | None:
    """The instance and the statement of a cell that shows a query."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "query"
        ):
            return ast.unparse(node.func.value).rpartition(".")[2], ast.literal_eval(node.args[0])
    return None


def _psql(*questions: tuple[str, str]) -> str:
    typed = (
        shell_text((*PSQL, instance, "psql", "-c", f"{query};")) for instance, query in questions
    )
    return "```sh\n" + "\n".join(map(wrapped, typed)) + "\n```\n"
