"""What differed between two runs: parameters, versions, chapters, steps, checks and settings, as their journals say."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..postgres import conf
from ..words.legible import legible
from .runs import Run, check_verdict

NOTED = "durations"  # told, but no difference: no two runs take the same time
TIMES, SECONDS = (
    2,
    1.0,
)  # a duration is noted when it is more than so many times the other, and so much longer
ADDED_SETTING = re.compile(r"\+([A-Za-z_][\w.]*) = (.*)")
ADDED_RULE = re.compile(
    r"\+((?:local|host\w*)\s.*\S)\s+(\S+)"
)  # whom it admits, and by which method
SHA256 = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
Facts = Mapping[
    str, Any
]  # by name; of a step or a check, again facts by name, what it came to first


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; None where a run does not have it."""

    group: str
    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None or self.new is None:
            return legible(
                f"+ {self.name}: {_shown(self.new)}"
                if self.old is None
                else f"- {self.name}: {_shown(self.old)}"
            )
        old, new = _shown(self.old), _shown(self.new)
        if "\n" not in old + new:
            return legible(f"  {self.name}: {old} → {new}")
        lines = conf.diff(f"{old}\n", f"{new}\n", "").splitlines()[
            2:
        ]  # without the names of files that are none
        return legible("\n    ".join([f"  {self.name}:", *lines]))


def compare(old: Run, new: Run) -> list[Difference]:
    """Everything that differs, by group; the group "durations" is for information."""
    made: dict[str, Callable[[Run], Facts]] = {
        "run": _run,
        "parameters": _parameters,
        "versions": _versions,
        "chapters": _chapters,
        "steps": _steps,
        "checks": _checks,
    }
    made["settings"] = _settings if old.of("state") and new.of("state") else _edited
    found = [d for group, facts in made.items() for d in _different(group, facts(old), facts(new))]
    return [*_unsure(old, new), *found, *_reordered(old, new), *_slower(old, new)]


def differs(found: list[Difference]) -> bool:
    """Whether the runs differ in more than how long they took."""
    return any(d.group != NOTED for d in found)


def text(old: Run, new: Run, found: list[Difference]) -> str:
    """The differences for people, in groups."""
    lines = [f"--- {_named(old)}", f"+++ {_named(new)}"]
    if not differs(found):
        lines.append(f"nothing differs: {len(new.of('step'))} steps, {len(new.of('check'))} checks")
    for group in dict.fromkeys(d.group for d in found):
        lines += [
            group,
            *(f"  {line}" for d in found if d.group == group for line in str(d).splitlines()),
        ]
    return "\n".join(lines)


def _unsure(old: Run, new: Run) -> Iterator[Difference]:
    """What keeps two journals from being compared, be it the same in both: else it looks like none."""
    for name, looked in UNSURE.items():
        was, now = looked(old), looked(new)
        if was or now:
            yield Difference("journal", name, was, now)


def _unusable(run: Run) -> int:
    return run.unusable


def _broken(run: Run) -> int:
    return run.journal.first_broken_line() or 0


def _empty(run: Run) -> bool:
    return not (run.of("step") or run.of("check") or run.opening)


UNSURE: dict[str, Callable[[Run], int]] = {
    "lines that are no records": _unusable,
    "the first line that does not carry the hash of the line before": _broken,
    "it tells of no run, no step and no check": _empty,
}


def _different(group: str, old: Facts, new: Facts) -> Iterator[Difference]:
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            yield from _different(
                group, *({f"{name}, {k}": v for k, v in facts.items()} for facts in (was, now))
            )
        elif was != now:
            yield Difference(
                group,
                name,
                *(next(iter(v.values())) if isinstance(v, dict) else v for v in (was, now)),
            )


def _reordered(old: Run, new: Run) -> Iterator[Difference]:
    """The first of the steps that both have which comes at another place."""
    was, now = _steps(old), _steps(new)
    for first, second in zip(
        [n for n in was if n in now], [n for n in now if n in was], strict=True
    ):
        if first != second:
            yield Difference("steps", "order, from here on", first, second)
            return


def _slower(old: Run, new: Run) -> Iterator[Difference]:
    """Steps that ended alike and took much longer in one of the runs."""
    was, now = dict(_counted(old, "step")), dict(_counted(new, "step"))
    for name in (n for n in was if n in now and was[n].get("outcome") == now[n].get("outcome")):
        short, long = sorted(times := [_number(s.get("seconds")) for s in (was[name], now[name])])
        if long > TIMES * short and long - short > SECONDS:
            yield Difference(NOTED, name, *(f"{t:.1f} s" for t in times))


def _run(run: Run) -> Facts:
    return {"status": run.status}


def _parameters(run: Run) -> Facts:
    return _flat(run.opening.get("params"))


def _versions(run: Run) -> Facts:
    begun = {
        k: run.opening.get(k)
        for k in ("user", "host", "platform", "python", "packages", "repository")
    }
    return _flat({**begun, "engine": run.first("engine").get("facts")})


def _chapters(run: Run) -> Facts:
    return {c.name: c.status or "not reached" for c in run.chapters if c.name}


def _steps(run: Run) -> Facts:
    """Commands and edits without what two projects cannot share: folder, names of containers, network and ports."""
    common = _common(run)
    return {
        name: {
            "outcome": str(step.get("outcome")),
            "commands": common(_commands(step)),
            "edit": common(_edit(step)),
        }
        for name, step in _counted(run, "step")
    }


def _checks(run: Run) -> Facts:
    common = _common(run)
    return {
        name: {"verdict": check_verdict(check), "seen": common(str(check.get("seen")))}
        for name, check in _counted(run, "check")
    }


def _settings(run: Run) -> Facts:
    """The state that the run left."""
    state = {
        k: v
        for k, v in run.of("state")[-1].items()
        if k not in ("time", "kind", "previous", "instances")
    }
    return _flat({**_dict(run.of("state")[-1].get("instances")), **state})


def _edited(run: Run) -> Facts:
    """Of runs that did not get as far as recording their state: what their edits add to the files."""
    found, file, common = dict[str, Any](), "", _common(run)
    for line in (line for step in run.of("step") for line in common(_edit(step)).splitlines()):
        if line.startswith("+++ "):
            file = line.removeprefix("+++ ")
        elif added := ADDED_SETTING.fullmatch(line) or ADDED_RULE.fullmatch(line):
            found[f"{file}: {' '.join(added[1].split())}"] = added[2]
    return found


def _counted(run: Run, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Steps or checks by chapter and title, with a number where a title comes again."""
    seen: Counter[str] = Counter()
    for entry in run.of(kind):
        name = f"{entry.get('chapter')}: {entry.get('title')}"
        seen[name] += 1
        yield (f"{name} ({seen[name]})" if seen[name] > 1 else name), entry


def _common(run: Run) -> Callable[[str], str]:
    """Makes a text of this run one that another project's run could have, too."""
    params, ports = _dict(run.opening.get("params")), _dict(run.first("engine").get("port"))
    project = str(params.get("project") or "")
    own = {
        str(Path(str(params.get("workdir")), project)): "<folder>",
        str(params.get("network") or ""): "<network>",
        f"COMPOSE_PROJECT_NAME={project}": "COMPOSE_PROJECT_NAME=<project>",
        f"{project}_": "",  # before the names of temporary containers; the project pgrepl has none there
        **{str(port): f"<port of {name}>" for name, port in ports.items()},
    }
    words = "|".join(re.escape(word) for word in sorted(filter(None, own), key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w.-])(?:{words})(?:(?<=_)|(?![\w.-]))")
    return (lambda text: pattern.sub(lambda found: own[found[0]], text)) if project else str


def _commands(step: Mapping[str, Any]) -> str:
    commands = step.get("commands")
    return (
        "\n".join(str(_dict(c).get("command")) for c in commands)
        if isinstance(commands, list)
        else ""
    )


def _edit(step: Mapping[str, Any]) -> str:
    """What an edit adds as a whole, be it that it had been done before; else what was changed now."""
    return str(step.get("adds") or step.get("diff") or "")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested facts by their path: {"a": {"b": 1}} as {"a.b": 1}."""
    found: dict[str, Any] = {}
    for key, value in _dict(values).items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def _dict(value: Any) -> dict[str, Any]:
    """The value if it is a mapping: a journal may hold anything."""
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text[:19]}…" if SHA256.fullmatch(text) else text or "(nothing)"


def _named(run: Run) -> str:
    project = _dict(run.opening.get("params")).get("project", "?")
    return legible(f"{run.name} (project {project}, {run.status})")
