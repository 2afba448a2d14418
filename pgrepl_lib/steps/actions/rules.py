"""The rules of `pg_hba.conf`: who is let in to replicate, and with TLS, who is refused."""

from __future__ import annotations

from collections.abc import Sequence

from ...cluster.server import Server
from ...engine.action import CONFIGURATION
from ...engine.edit import Edit
from ...params import Params
from ...postgres import conf, tls

ADMITS, REFUSES = "replication", tls.RULES_BLOCK  # the blocks


def rule_edit(instance: Server) -> Edit:
    """The rule that lets the replication user in; first, for the first one decides."""
    return _edit(instance, {ADMITS: _admitting(instance, instance.cluster.params)})


def refusing_edit(instance: Server) -> Edit:
    """With TLS: who comes without it is refused."""
    return _edit(instance, {REFUSES: _refusing(instance.cluster.params)})


def rules_edit(instance: Server, params: Params) -> Edit:
    """Both, as these parameters ask for them."""
    refused = _refusing(params) if params.tls == tls.ON else None
    return _edit(instance, {ADMITS: _admitting(instance, params), REFUSES: refused})


def _admitting(instance: Server, params: Params) -> list[str]:
    kind, method = tls.rule(params)
    network = instance.cluster.engine.rule_network()
    return conf.hba_lines(params.replication_user, network, method, kind, params.databases)


def _refusing(params: Params) -> list[str]:
    return tls.rules(conf.hba_user(params.replication_user), params.databases)


def _edit(instance: Server, blocks: dict[str, Sequence[str] | None]) -> Edit:
    return Edit(instance.cluster.folder, f"{instance.name}/{CONFIGURATION[1]}", blocks)
