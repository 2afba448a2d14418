"""What a run's journal tells, as facts by name: what two runs are compared by."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..words.text import t
from .audit import said
from .records import check_verdict
from .runs import Run

ADDED_SETTING = re.compile(r"\+([A-Za-z_][\w.]*) = (.*)")
# Whom a rule admits, and by which method.
ADDED_RULE = re.compile(r"\+((?:local|host\w*)\s.*\S)\s+(\S+)")
Facts = Mapping[Any, Any]  # by name; of a step or a check by name again, how it ended first


def ending(run: Run) -> Facts:
    """How the run ended."""
    return {t("status"): run.status}


def parameters(run: Run) -> Facts:
    """What the user asked for."""
    return _flat(run.opening.get("params"))


def versions(run: Run) -> Facts:
    """Who ran what, where, and from which sources."""
    names = ("user", "host", "platform", "python", "packages", "repository")
    begun = {name: run.opening.get(name) for name in names}
    return _flat({**begun, "engine": run.first("engine").get("facts")})


def chapters(run: Run) -> Facts:
    """How each chapter ended."""
    return {c.name: c.status or "not reached" for c in run.chapters if c.name}


def steps(run: Run) -> Facts:
    """Commands and edits without what two projects cannot share: folder, names, network, ports."""
    common = _common(run)
    return {
        name: {
            t("outcome"): str(step.get("outcome")),
            t("commands"): common(_commands(step)),
            t("edit"): common(_edit(step)),
        }
        for name, step in counted(run, "step")
    }


def checks(run: Run) -> Facts:
    """Each check's verdict and what was seen, without what two projects cannot share."""
    common = _common(run)
    return {
        name: {t("verdict"): check_verdict(check), t("seen"): common(said(check, "seen"))}
        for name, check in counted(run, "check")
    }


def verdicts(run: Run) -> Facts:
    """Each check's verdict alone: what was seen, another version says in another form."""
    return {name: {t("verdict"): check_verdict(c)} for name, c in counted(run, "check")}


def settings(run: Run) -> Facts:
    """The state that the run left."""
    state = dict(run.of("state")[-1])
    instances = mapping(state.pop("instances", None))
    for name in ("time", "kind", "previous"):
        state.pop(name, None)
    return _flat({**instances, **state})


def edited(run: Run) -> Facts:
    """Of runs that did not come to record their state: what their edits add to the files."""
    found, file, common = dict[str, Any](), "", _common(run)
    for line in (line for step in run.of("step") for line in common(_edit(step)).splitlines()):
        if line.startswith("+++ "):
            file = line.removeprefix("+++ ")
        elif added := ADDED_SETTING.fullmatch(line) or ADDED_RULE.fullmatch(line):
            found[f"{file}: {' '.join(added[1].split())}"] = added[2]
    return found


def counted(run: Run, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Steps or checks by chapter and title, with a number where a title comes again."""
    seen: Counter[str] = Counter()
    for entry in run.of(kind):
        name = f"{entry.get('chapter')}: {said(entry, 'title')}"
        seen[name] += 1
        yield (f"{name} ({seen[name]})" if seen[name] > 1 else name), entry


def renamed(old: Run, new: Run) -> dict[str, str]:
    """Names of steps and checks that one of the runs has from an earlier version, and today's.

    Earlier versions recorded titles as they were said: in one language, and other ones than today.
    """
    found = dict[str, str]()
    for kind in ("step", "check"):
        was, now = dict(counted(old, kind)), dict(counted(new, kind))
        theirs, ours = _by_place(was, now), _by_place(now, was)
        for place in theirs.keys() & ours.keys():
            if len(theirs[place]) == len(ours[place]):
                pairs = zip(theirs[place], ours[place], strict=True)
                found |= dict(_by_age(p, now) for p in pairs if _retold(was[p[0]], now[p[1]]))
    return found


def _by_age(pair: tuple[str, str], new: Mapping[str, Facts]) -> tuple[str, str]:
    """Two names of one thing, the earlier version's first."""
    old_name, new_name = pair
    return pair if "said" in new[new_name] else (new_name, old_name)


def _by_place(named: Mapping[str, Facts], others: Mapping[str, Facts]) -> dict[Any, list[str]]:
    """Those that the others do not have, by chapter and by what a check or a cell is called."""
    found = defaultdict[Any, list[str]](list)
    for name, entry in named.items():
        if name not in others:
            place = str(entry.get("chapter")), str(entry.get("name") or entry.get("cell"))
            found[place].append(name)
    return found


def _retold(old: Facts, new: Facts) -> bool:
    """Whether one version recorded what its texts are in any language, and the other did not."""
    return ("said" in old) != ("said" in new)


def retold(old: Run, new: Run) -> bool:
    """Whether the runs are of versions that record texts in different ways."""
    return any(_retold(was, now) for was in old.of("check")[:1] for now in new.of("check")[:1])


def _common(run: Run) -> Callable[[str], str]:
    """Makes a text of this run one that another project's run could have, too."""
    params, ports = mapping(run.opening.get("params")), mapping(run.first("engine").get("port"))
    project = str(params.get("project") or "")
    if not project:
        return str
    own = {
        str(Path(str(params.get("workdir")), project)): "<folder>",
        str(params.get("network") or ""): "<network>",
        f"COMPOSE_PROJECT_NAME={project}": "COMPOSE_PROJECT_NAME=<project>",
        f"{project}_": "",  # before names of temporary containers; project pgrepl has none there
        **{str(port): f"<port of {name}>" for name, port in ports.items()},
    }
    words = "|".join(re.escape(word) for word in sorted(filter(None, own), key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w.-])(?:{words})(?:(?<=_)|(?![\w.-]))")

    def common(text: str) -> str:
        return pattern.sub(lambda found: own[found[0]], text)

    return common


def _commands(step: Mapping[str, Any]) -> str:
    commands = step.get("commands")
    if not isinstance(commands, list):
        return ""
    return "\n".join(str(mapping(c).get("command")) for c in commands)


def _edit(step: Mapping[str, Any]) -> str:
    """What an edit adds as a whole, even if it had been done before; else what was changed now."""
    return str(step.get("adds") or step.get("diff") or "")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested facts by their path: {"a": {"b": 1}} as {"a.b": 1}."""
    found: dict[str, Any] = {}
    for key, value in mapping(values).items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping: a journal may hold anything."""
    return value if isinstance(value, dict) else {}
