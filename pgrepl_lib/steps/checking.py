"""A check is made, recorded and shown."""

from __future__ import annotations

import time

from ..checks.checks import CHECKS
from ..checks.outcome import Check
from ..cluster import identity
from ..doors import show
from ..errors import CheckFailed, ParameterError
from ..journal.chapter import cell_id
from ..words.text import t
from .steps import AnySteps


def examine(cluster: AnySteps, name: str) -> Check:
    """Make one check and record it, whatever its outcome."""
    if name not in CHECKS:
        there = t("there are {names}", names=", ".join(CHECKS))
        cause = t("No check {name}.", name=repr(name))
        raise ParameterError(cause, looked_at=[there], remedy=t("name one of those"))
    require_data(cluster)
    started = time.monotonic()
    made = CHECKS[name](cluster)
    record(cluster, made, time.monotonic() - started)
    return made


def require_data(cluster: AnySteps) -> None:
    """Raise `StepFailed` where the primary has none: lost ones are told as such."""
    engine, topology = cluster.engine, cluster.topology
    if not engine.has_data(topology.primary):
        identity.require_own_data(engine, topology, topology.primary)
        cluster.require_primary()


def record(cluster: AnySteps, made: Check, seconds: float) -> None:
    """Record a check's outcome, and how long it took."""
    facts = made.record(seconds)
    cluster.journal.record("check", chapter=cluster.chapter, cell=cell_id(cluster.chapter), **facts)


def shown(made: Check) -> Check:
    """Show a check; raises `CheckFailed` where the claim is not true."""
    show.check(made.title, made.verdict, made.expected, made.seen, made.hint)
    if made.passed:
        return made
    raise failure(made.title, made.expected, made.seen, made.hint)


def failure(title: str, expected: str, seen: str, hint: str) -> CheckFailed:
    """The error of a claim that is not true."""
    cause = t("Check failed: {title}", title=title)
    fact = t("{seen} (expected: {expected})", seen=seen, expected=expected)
    return CheckFailed(cause, looked_at=[fact], remedy=hint)
