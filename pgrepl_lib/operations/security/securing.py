"""TLS for a cluster that exists, and the way back, while replication goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...cluster.changes import outdated
from ...doors import files
from ...engine.action import CONFIGURATION
from ...engine.edit import Edit
from ...engine.secret import AUTHORITY
from ...logins.tls import own, revoking
from ...params import Params
from ...postgres import conf, guards, tls
from ...steps.actions import by_certificate
from ...steps.instance import SETTINGS
from ...steps.refusals import refuse_without_openssl
from ...words.text import t
from . import renewing

if TYPE_CHECKING:
    from ...steps.cluster import Cluster
    from ...steps.instance import Instance


def secure(cluster: Cluster, given: str | None = None) -> None:
    """Steps: certificates, servers that speak TLS, replicas that prove who they are, then rules.

    It is recorded first: from then on whatever is done, also a run, goes on with it. given: the
    user's folder of certificates. Raises `ParameterError` for what is in there and cannot be used,
    and for a server without OpenSSL, before anything is touched.
    """
    _require(cluster)
    wanted = cluster.params.certificates if given is None else given
    if cluster.params.tls == tls.OFF:
        refuse_without_openssl(cluster.params, cluster.engine)
        own.require(cluster, cluster.topology.names, wanted)
    cluster.end_trust()
    with cluster.working():
        if not files.there(cluster.folder / "secrets" / AUTHORITY):
            renewing.take(cluster, wanted)
        _record(cluster, tls.ON)
        cluster.make_certificates()
        _encrypt(cluster)
        _follow(cluster)
        _admit(cluster, cluster.params)
        renewing.finish(cluster)
        if wanted != cluster.params.certificates:
            renewing.rotate(cluster, given=wanted)


def undo(cluster: Cluster) -> None:
    """Steps: the same backwards; the certificates stay in `secrets/`, and what guards stays.

    It is recorded once nobody is refused without TLS any more: we would be, too.
    """
    _require(cluster)
    with cluster.working():
        _admit(cluster, cluster.params.model_copy(update={"tls": tls.OFF}))
        _record(cluster, tls.OFF)
        _follow(cluster)
        for instance in _configured(cluster):
            title = t("Let {name} speak no TLS any more", name=instance.name)
            cluster.perform(title, by_certificate.silenced(instance))


def _require(cluster: Cluster) -> None:
    cluster.refuse_unfinished()
    outdated.require_none(cluster.engine, cluster.topology)
    cluster.require_primary()


def _record(cluster: Cluster, value: str) -> None:
    cluster.params = cluster.params.model_copy(update={"tls": value})
    cluster.engine.params = cluster.params
    cluster.record()


def _configured(cluster: Cluster) -> list[Instance]:
    """All that have their files, the primary first; one that stands takes them over later."""
    instances = map(cluster.instance, cluster.topology.primary_first)
    return [each for each in instances if each.has_configuration()]


def _encrypt(cluster: Cluster) -> None:
    """Each server speaks TLS, and has what guards a cluster."""
    for instance in _configured(cluster):
        guarded = _guarded(instance)
        if not guarded.done():  # what is written and not yet read, the next step lets it read
            title = t(SETTINGS[instance.is_replica], file=guarded.name)
            cluster.perform(title, by_certificate.edited(instance, guarded))
        instance.encrypt()


def _guarded(instance: Instance) -> Edit:
    """What chapter 01 configures, with what guards a cluster; one made earlier may lack that."""
    folder, name = instance.cluster.folder, f"{instance.name}/{CONFIGURATION[0]}"
    had = conf.settings_of_block(files.text(folder / name), "settings")
    lines = conf.setting_lines(guards.settings(had, instance.cluster.params))
    return Edit(folder, name, {"settings": lines})


def _follow(cluster: Cluster) -> None:
    """The replicas, whose upstreams already do what is asked of them, but for revoked ones."""
    let_in = [r for r in cluster.replicas if r.name not in revoking.revoked(cluster)]
    for replica in (r for r in let_in if r.has_configuration()):
        title = t("Let {name} follow {upstream}", name=replica.name, upstream=replica.upstream.name)
        cluster.perform(title, by_certificate.following(replica))


def _admit(cluster: Cluster, params: Params) -> None:
    """Who is let in with these parameters: with TLS, only who comes with it."""
    for instance in _configured(cluster):
        action = by_certificate.admitting(instance, params)
        cluster.perform(t("Set the rules of {name}", name=instance.name), action)
