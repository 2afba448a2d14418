"""What the last run left, so that drift is seen and can be taken back.

That is `recorded.json`, and copies of the configuration files. Only a completed run makes the first
record. Afterwards it follows what pgrepl itself does, by one rule: what differs between the
beginning and the end of an operation, of a later run, or of a step done by hand in a notebook is
recorded; what differed before it stays as it was recorded, and so stays drift. The beginning is
written down, too: what was done since, by a process that was killed, cannot be told from what
others did, and all of it counts as ours.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..cluster import promises
from ..cluster.members import AnyCluster
from ..cluster.project import Project
from ..cluster.server import Server
from ..cluster.topology import NAME
from ..doors import ahead, files
from ..engine.action import CONFIGURATION, Action, Tell
from ..engine.edit import Edit
from ..errors import StepFailed
from ..journal import audit
from ..postgres import conf
from ..words.text import t
from .snapshot import digest, snapshot, with_role

FILE, COPIES = "recorded.json", "recorded"
State = dict[str, Any]
ABSENT = object()


@dataclass
class Record:
    """What is recorded: by which run at first, the state, the configuration files' texts by path.

    before: the state at the beginning of what goes on now, or was killed.
    """

    run: str
    state: State
    texts: dict[str, str] = field(default_factory=dict)
    before: State | None = None


def read(cluster: Project) -> Record | None:
    """The record as it is on the disk; None where no run has completed yet."""
    path = cluster.folder / FILE
    if not path.exists():
        return None
    try:
        plain = json.loads(path.read_text("utf-8"))
        _refuse_strange_names(plain["state"])
        copies = {k: cluster.text_of(path.parent / COPIES / k) for k in _keys(plain["state"])}
        mine = {
            key: text
            for key, text in copies.items()
            if digest(text.encode()) == _digest_of(plain["state"], key)
        }
        return Record(plain["run"], plain["state"], mine, plain.get("before"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError):
        cause, remedy = (
            t("{path} is damaged.", path=path),
            t("remove it; the next run records anew"),
        )
        raise StepFailed(cause, remedy=remedy) from None


def of_instance(instance: Server) -> State:
    """What is recorded of an instance that has data; empty where nothing is."""
    return last_of(instance) if instance.prepared() else {}


def last_of(instance: Server) -> State:
    """The same, whatever became of its data."""
    record = read(instance.cluster)
    return dict(record.state["instances"].get(instance.name, {})) if record else {}


def has_user(cluster: Project) -> bool:
    """Whether the replication user is recorded."""
    record = read(cluster)
    return bool(record and record.state["replication_user"])


def known(cluster: AnyCluster) -> Record | None:
    """The record, with what an operation has changed that goes on now or was killed."""
    record = read(cluster)
    if record is None or record.before is None:
        return record
    now = _followed(cluster, record, record.before, snapshot(cluster))
    return replace(now, before=record.before)


@contextmanager
def following(cluster: AnyCluster, run: str = "") -> Iterator[State]:
    """Record what the block changes; the mapping it gives holds the whole state afterwards.

    run: whose name it is makes the first record if it completes. Inside another block, and in the
    kernel of a run, nothing is done here: who began does it.
    """
    seen, record, planned = State(), None, ahead.looking()
    if not (cluster.followed or planned) and (run or not os.environ.get(audit.RUN_FOLDER)):
        record = known(cluster)
    if planned or not (record or run):
        yield seen
        return
    cluster.followed, before = True, State()
    try:
        if record:
            before = _begin(cluster, record)
        yield seen
    except BaseException:
        with suppress(Exception):  # what failed is told; the beginning stays written down
            _finish(cluster, record, before, run, completed=False)
        raise
    else:
        seen |= _finish(cluster, record, before, run, completed=True)
    finally:
        cluster.followed = False


def _begin(cluster: AnyCluster, record: Record) -> State:
    """Write down the state now, and the texts of files that are not as recorded."""
    texts = {
        key: seen
        for key, text in record.texts.items()
        if (seen := cluster.text_of(cluster.folder / key)) != text
    }
    before = {**snapshot(cluster), "texts": texts}
    _write(cluster, record, before)
    return before


def _finish(
    cluster: AnyCluster, record: Record | None, before: State, run: str, *, completed: bool
) -> State:
    if record and not (cluster.folder / FILE).exists():
        return {}  # the cluster was removed
    if run:  # its kernel may have changed roles
        cluster.look_again()
    now = snapshot(cluster)
    if record:
        _write(cluster, _followed(cluster, record, before, now, run if completed else ""))
    elif completed:
        texts = {key: cluster.text_of(cluster.folder / key) for key in _keys(now)}
        _write(cluster, Record(run, now, texts))
    return now


def _followed(
    cluster: AnyCluster, record: Record, before: State, now: State, run: str = ""
) -> Record:
    """The record with what has changed between two states; a run also records new instances."""
    made, texts = merged(record.state, before, now), dict(record.texts)
    made["instances"] = {
        n: with_role(cluster, n, made["instances"].get(n, i), i)
        for n, i in now["instances"].items()
        if run or n in made["instances"]
    }
    for key in _keys(made):
        if _digest_of(now, key) in (_digest_of(before, key), ""):
            continue
        text = cluster.text_of(cluster.folder / key)
        if key in texts and key in before.get("texts", {}):  # what others had changed stays theirs
            text = conf.with_changed_blocks(
                texts[key], before["texts"][key], text, first=key.endswith("hba.conf")
            )
        name, _, file = key.partition("/")
        texts[key], made["instances"][name]["files"][file] = text, digest(text.encode())
    return Record(run or record.run, made, {key: texts[key] for key in _keys(made) if key in texts})


def merged(recorded: Any, before: Any, now: Any) -> Any:
    """The recorded values with those that have changed; a new one of None is unknown: no change."""
    if now is None or before == now:
        return recorded
    if not (isinstance(recorded, dict) and isinstance(before, dict) and isinstance(now, dict)):
        return now
    made = {
        k: merged(*(m.get(k, ABSENT) for m in (recorded, before, now))) for k in {**recorded, **now}
    }
    return {k: v for k, v in made.items() if v is not ABSENT}


def restoring(cluster: AnyCluster) -> Action:
    """Put the configuration files back as they are recorded, and the modes of all files."""
    found = list(astray(cluster))
    names = {path: str(path.relative_to(cluster.folder)) for path, _, _ in found}
    texts = [(names[path], text, mode) for path, text, mode in found if text is not None]
    edits = [Edit(cluster.folder, name, {}, text, mode) for name, text, mode in texts]

    def do(tell: Tell) -> None:
        for edit in edits:
            edit.write()
        for path, _, mode in found:  # one whose text stays is as old as it was: no server reads it
            path.chmod(mode)

    def leaves() -> None:
        ahead.seen().modes.update((path, mode) for path, _, mode in found)

    def done() -> bool:
        return not found

    copied = f"[ ! -d {COPIES} ] || cp -pR {COPIES}/. ."
    modes = [f"chmod {mode:o} {names[path]}" for path, mode in _other_modes(found)]
    return Action((*edits, *modes) if found else (copied,), do, done, (), leaves)


def _other_modes(found: Iterable[tuple[Path, str | None, int]]) -> list[tuple[Path, int]]:
    """Those of the files that there are, and that have another mode."""
    return [(path, mode) for path, _, mode in found if path.exists() and _mode(path) != mode]


def astray(cluster: AnyCluster) -> Iterator[tuple[Path, str | None, int]]:
    """Files that are not as they shall be, with the text (None: it stays) and the mode to have."""
    record = known(cluster)
    texts = _wanted(cluster, record)
    for key, recorded in texts.items():
        path = cluster.folder / key
        text = _foreseen(path, recorded)
        mode = _mode_of(record, key) if record and key in record.texts else _mode(path)
        if cluster.text_of(path) != text:
            yield path, text, mode
        elif _mode(path) != mode:
            yield path, None, mode
    if not record:
        return
    for key in record.state["modes"]:
        path, mode = cluster.folder / key, _mode_of(record, key)
        if path.exists() and _mode(path) != mode:
            yield path, None, mode


def _wanted(cluster: AnyCluster, record: Record | None) -> dict[str, str]:
    """As recorded, but without what a drill made, and with the promise of `cluster.json`."""
    keys = (f"{name}/{file}" for name in cluster.topology.names for file in CONFIGURATION)
    found = {key: text for key in keys if (text := cluster.text_of(cluster.folder / key))}
    found |= record.texts if record else {}
    texts = {key: conf.without_block(text, conf.DRILL) for key, text in found.items()}
    primary = f"{cluster.topology.primary}/{CONFIGURATION[0]}"
    if before := texts.get(primary):
        texts[primary] = promises.as_promised(cluster, before)
    return texts


def _foreseen(path: Path, text: str) -> str:
    """The recorded text, with what planned steps would have changed: it is followed, too."""
    seen = ahead.seen().texts.get(path)
    if seen is None:
        return text
    now = path.read_text("utf-8", "replace")
    return conf.with_changed_blocks(text, now, seen, first=path.name.endswith("hba.conf"))


def _write(cluster: AnyCluster, record: Record, before: State | None = None) -> None:
    for key, text in record.texts.items():
        files.write_atomic(cluster.folder / COPIES / key, text, _mode_of(record, key))
    for folder in (cluster.folder / COPIES).glob("*"):
        if folder.name not in record.state["instances"]:
            files.remove_below(cluster.folder, f"{COPIES}/{folder.name}")
    plain = {"run": record.run, "state": record.state, **({"before": before} if before else {})}
    files.write_atomic(cluster.folder / FILE, json.dumps(plain, indent=1, ensure_ascii=False))


def _refuse_strange_names(recorded: State) -> None:
    """Raise `ValueError` for a name that leads elsewhere than to a file of the cluster's folder."""
    named = [*_keys(recorded), *recorded["modes"]]
    file = "|".join(map(re.escape, CONFIGURATION))
    allowed = re.compile(rf"({NAME.pattern})/({file})|secrets/[^/]*[^/.][^/]*")
    if strange := [name for name in named if not allowed.fullmatch(name)]:
        raise ValueError(strange[0])


def _keys(recorded: State) -> list[str]:
    """The configuration files of a state, as paths in the cluster's folder."""
    return [f"{name}/{file}" for name, i in recorded["instances"].items() for file in i["files"]]


def _digest_of(found: State, key: str) -> str:
    name, _, file = key.partition("/")
    return str(found.get("instances", {}).get(name, {}).get("files", {}).get(file, ""))


def _mode_of(record: Record, key: str) -> int:
    name, _, file = key.partition("/")
    return int(record.state["modes"].get(key) or record.state["instances"][name]["modes"][file], 8)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
