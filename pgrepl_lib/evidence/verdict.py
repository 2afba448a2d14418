"""A run's verdict: one plain sentence for the reader of its report (in Portuguese, as the chapters), and its sign."""

from __future__ import annotations

from dataclasses import dataclass

from ..journal.runs import Chapter, Run


@dataclass(frozen=True)
class Verdict:
    """sign and tone (good, bad, stopped or open) say the same as the text, for the eye."""

    sign: str
    tone: str
    text: str


def of(run: Run) -> Verdict:
    """How the run ended, in a sentence; a journal that was changed afterwards proves nothing, however it ended."""
    if broken := run.journal.first_broken_line():
        return Verdict(
            "✘",
            "bad",
            f"O registro foi alterado: a linha {broken} do journal.jsonl não confere com a anterior. "
            "O que se lê aqui pode não ser o que aconteceu.",
        )
    if run.unusable:
        lines = _number(run.unusable, "", "1 linha", "linhas")
        return Verdict(
            "✘",
            "bad",
            f"O registro tem {lines} sem a forma de um registro. "
            "O que se lê aqui pode não ser tudo o que aconteceu.",
        )
    if not run.entries:
        return Verdict("■", "stopped", "O registro está vazio.")
    counts, place = _counts(run), _place(run)
    checks = run.counts()["checks"]
    known = {
        "completed": Verdict("✔", "good", f"Concluída: {counts}."),
        "failed": Verdict("✘", "bad", f"Falhou{place}. Até ali, {counts}."),
        "interrupted": Verdict(
            "■",
            "stopped",
            f"Interrompida{place}. Até ali, {counts}. Execute de novo: ela continua de onde parou.",
        ),
        "killed": Verdict(
            "■",
            "stopped",
            f"Interrompida sem fim registrado{place}: o processo foi morto, ou a máquina "
            f"parou. Até ali, {counts}. Execute de novo: ela continua de onde parou.",
        ),
        "running": Verdict("…", "open", f"Em andamento{place}: até agora, {counts}."),
        "manual": Verdict(
            "✎", "open", f"Trabalho fora de uma execução (cadernos e comandos, um a um): {counts}."
        ),
    }
    if checks["failed"] and run.status in ("completed", "manual"):
        return Verdict("✘", "bad", f"Há verificações que não passaram: {counts}.")
    if run.status == "completed" and not any(checks.values()):  # nobody complained, nobody looked
        return Verdict("○", "open", f"Concluída, sem prova: {counts}.")
    return known.get(
        run.status,
        Verdict("■", "stopped", f"O fim registrado não é conhecido ({run.status}): {counts}."),
    )


def stopped_chapter(run: Run) -> Chapter | None:
    """The chapter in which a run stopped; None where it did not stop in one."""
    return next(
        (c for c in run.chapters if c.status in ("failed", "interrupted", "killed", "running")),
        None,
    )


def outcomes(run: Run) -> str:
    """How many steps ended how."""
    steps = run.counts()["steps"]
    parts = [
        _number(
            steps["changed"],
            "nenhum passo alterou nada",
            "1 passo alterou algo",
            "passos alteraram algo",
        ),
        _number(steps["unchanged"], "", "1 já estava feito", "já estavam feitos"),
        _number(steps["failed"] + steps["interrupted"], "", "1 não terminou", "não terminaram"),
    ]
    return ", ".join(filter(None, parts))


def _number(count: int, none: str, one: str, many: str) -> str:
    return {0: none, 1: one}.get(count, f"{count} {many}")


def _counts(run: Run) -> str:
    checked = run.counts()["checks"]
    passed, total, untried = checked["passed"], sum(checked.values()), checked.get("not_tried", 0)
    checks = f"{passed} de {total} {'verificação' if total == 1 else 'verificações'} {'passou' if passed == 1 else 'passaram'}"
    told = filter(
        None, [checks, _number(untried, "", "1 não pôde ser tentada", "não puderam ser tentadas")]
    )
    return f"{', '.join(told) if total else 'nenhuma verificação foi feita'}; {outcomes(run)}"


def _place(run: Run) -> str:
    chapter = stopped_chapter(run)
    if not chapter:
        return ""
    title = chapter.stopped_by().get("title")
    return f" no capítulo {chapter.name}" + (f", em “{title}”" if title else "")
