"""The runs of a project: their folders, in the order in which they began, and how each ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from . import audit, lock
from .errors import ParameterError

RUNS = "runs"  # beside the cluster's files: what a run leaves stays when the cluster is removed


@dataclass(frozen=True)
class Run:
    """One run's folder and what its journal says."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name: when it began, by the clock of then."""
        return self.folder.name

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """The journal's lines, oldest first."""
        return list(audit.Journal(self.folder).entries())

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The lines of one kind: run, chapter, engine, step, check, state or end."""
        return [e for e in self.entries if e["kind"] == kind]

    def first(self, kind: str) -> dict[str, Any]:
        """The first line of a kind; empty where there is none."""
        return next(iter(self.of(kind)), {})

    @property
    def status(self) -> str:
        """completed, failed or interrupted, as its end says; without one running, or killed."""
        if end := self.first("end"):
            return str(end["status"])
        holder = lock.run_holder(self.folder.parents[1])
        return "running" if holder and holder.get("pid") == self.first("run").get("pid") else "killed"

    def counts(self) -> dict[str, dict[str, int]]:
        """How many steps and checks ended how."""
        outcomes = Counter(s["outcome"] for s in self.of("step"))
        verdicts = Counter(c["passed"] for c in self.of("check"))
        return {"steps": {o: outcomes[o] for o in ("changed", "unchanged", "failed", "interrupted")},
                "checks": {"passed": verdicts[True], "failed": verdicts[False]}}  # fmt: skip


def of_project(folder: Path) -> list[Run]:
    """A project's runs, the oldest first: by the order in its journal, since a machine's clock may be set back."""
    there = {p.name: p for p in sorted((folder / RUNS).glob("*/")) if (p / audit.FILE).exists()}
    begun = [e["run"] for e in audit.Journal(folder).entries() if e["kind"] == "run"]
    ordered = [n for n in there if n not in begun] + [n for n in begun if n in there]
    return [Run(there[n]) for n in ordered]


def find(folder: Path, wanted: str = "") -> Run:
    """The run of a project by its name, or of any folder by its path; without either the last one.

    Raises `ParameterError` where there is none.
    """
    known = of_project(folder)
    if wanted and (Path(wanted) / audit.FILE).exists():
        return Run(Path(wanted).resolve())
    found = [r for r in known if r.name == wanted] if wanted else known[-1:]
    if not found:
        raise ParameterError(f"No run {wanted!r}." if wanted else "There is no run yet.",
                             looked_at=[f"{folder / RUNS} holds: {', '.join(r.name for r in known[-5:]) or 'no run'}"],
                             remedy="pgrepl runs lists them; a folder with a journal can be given by its path")  # fmt: skip
    return found[0]
