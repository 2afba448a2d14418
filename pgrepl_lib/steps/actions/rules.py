"""The rules of `pg_hba.conf`: who is let in to replicate, and who is refused."""

from __future__ import annotations

from collections.abc import Sequence

from ...cluster.server import Server
from ...engine.action import CONFIGURATION
from ...engine.edit import Edit
from ...params import Params
from ...postgres import conf, guards, tls

ADMITS, REFUSES = "replication", tls.RULES_BLOCK  # the blocks


def rule_edit(instance: Server) -> Edit:
    """The rule that lets the replication user in; first, for the first one decides."""
    return _edit(instance, {ADMITS: _admitting(instance, instance.cluster.params)})


def refusing_edit(instance: Server) -> Edit:
    """With TLS: who comes without it is refused."""
    return _edit(instance, {REFUSES: _refusing(instance, instance.cluster.params)})


def rules_edit(instance: Server, params: Params) -> Edit:
    """Both, as these parameters ask for them."""
    refused = _refusing(instance, params) if params.tls == tls.ON else None
    return _edit(instance, {ADMITS: _admitting(instance, params), REFUSES: refused})


def admits(instance: Server) -> tuple[str, str]:
    """Type and method of the rule that its file has now; both empty where it has none."""
    cluster = instance.cluster
    return conf.rule_of_block(
        cluster.text_of(cluster.folder / instance.name / CONFIGURATION[1]), ADMITS
    )


def _admitting(instance: Server, params: Params) -> list[str]:
    kind, method = tls.rule(params)
    network = instance.cluster.engine.rule_network()
    lines = conf.hba_lines(params.replication_user, network, method, kind, params.databases)
    if params.tls == tls.OFF and guards.wanted(params):
        lines += _guarding(instance, params)
    return lines


def _refusing(instance: Server, params: Params) -> list[str]:
    """Who comes without TLS, then whom the guards refuse: in a block that is taken over at once."""
    return [tls.REFUSED, *_guarding(instance, params)]


def _guarding(instance: Server, params: Params) -> list[str]:
    user, network = conf.hba_user(params.replication_user), instance.cluster.engine.rule_network()
    return guards.rules(user, params.databases, network)


def _edit(instance: Server, blocks: dict[str, Sequence[str] | None]) -> Edit:
    return Edit(instance.cluster.folder, f"{instance.name}/{CONFIGURATION[1]}", blocks)
