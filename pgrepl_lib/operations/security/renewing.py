"""New certificates while replication goes on, also of another authority: nobody is ever refused.

For another authority, all trust it beside the old one before anybody shows a certificate of it, and
the old one until all do. An interrupted change is finished by doing it again, also by `securing`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ...cluster.changes import outdated
from ...engine.action import NOTHING, Action, Tell
from ...errors import ParameterError, StepFailed
from ...logins.tls import certificates, own, revoking, succession, verifying
from ...postgres import tls
from ...steps.actions.connecting import answers, connecting_anew
from ...steps.actions.encrypting import presenting_action
from ...words.text import mark, t

if TYPE_CHECKING:
    from ...steps.cluster import Cluster
    from ...steps.instance import Instance

NO_TLS = mark("This cluster has no certificates: tls is off; nothing was changed.")
SECURE = mark("`pgrepl secure` makes them, and turns TLS on")
THEIRS = mark("The authority is not this cluster's own, but of {folder}; nothing was changed.")
BRING = mark(
    "put its new ca.crt and the certificates there, then `pgrepl rotate certificates`; "
    "`-p certificates ''` takes one of the cluster's own"
)
BEGUN = mark("A change to another authority has begun and not ended; nothing else was changed.")
REVOKED = mark("The certificate of {names} is revoked; nothing was changed.")
DECIDE = mark(
    "`pgrepl revoke {name} --undo` gives it another one, `pgrepl replica remove {name}` removes it"
)
OVER = mark("The authority's certificate is over ({why}); nothing was changed.")
ANOTHER_TOO = mark("`pgrepl rotate certificates --authority` makes another one")
LISTED = mark(
    "What the cluster's own authority has revoked would not be any more; nothing was changed."
)
ANOTHER = mark("first another authority: `pgrepl rotate certificates --authority`")
FINISH = mark("`pgrepl rotate certificates` finishes it")


def rotate(cluster: Cluster, *, authority: bool = False, given: str | None = None) -> None:
    """Steps: each instance's certificate, and the authority where another is asked for; checks.

    given: the user's folder of certificates from now on, empty for none; None: as before. Raises
    `ParameterError` for what cannot be used, before anything is touched.
    """
    require_running(cluster)
    wanted = cluster.params.certificates if given is None else given
    another = authority or wanted != cluster.params.certificates
    _require_usable(cluster, wanted, another)
    with cluster.working():
        take(cluster, wanted)
        renew(cluster, another=another or succession.asked(cluster))
    if all(answers(replica) for replica in cluster.replicas):  # else these are not true anyway
        for name in ("streaming", "login"):
            cluster.check(name)


def take(cluster: Cluster, folder: str) -> None:
    """Record whose certificates it has from now on: those in a user's folder, or its own."""
    cluster.params = cluster.params.model_copy(update={"certificates": folder})
    cluster.engine.params = cluster.params
    cluster.record()


def finish(cluster: Cluster) -> None:
    """Steps: a change of the authority that has begun and not ended; else nothing is shown."""
    if succession.begun(cluster):
        renew(cluster, another=True)


def renew(cluster: Cluster, *, another: bool) -> None:
    """Steps: the certificates, and connections. another: with the authority, before and after."""
    instances = [cluster.instance(name) for name in cluster.topology.primary_first]
    replaces = another or succession.begun(cluster)
    all_due = not (replaces or cluster.params.certificates)
    if replaces:
        cluster.perform(t("Make another certificate authority"), _begin(cluster))
        cluster.perform(t("Let all servers trust both authorities"), _both(cluster, instances))
    due = [i for i in instances if all_due or succession.due(cluster, i.name)]
    for each in instances:
        title = t("Give {name} a new certificate", name=each.name)
        cluster.perform(title, given_new(each, due=each in due))
    if due or replaces:
        title = t("Let each replica connect with its new certificate")
        cluster.perform(title, connecting_anew([cluster.primary, *cluster.replicas]))
    if replaces:
        cluster.perform(t("Trust the new authority alone"), _alone(cluster, instances))


def require_running(cluster: Cluster) -> None:
    """Raise for a cluster without TLS, one whose roles are changing, and one without primary."""
    if cluster.params.tls == tls.OFF:
        raise ParameterError(t(NO_TLS), remedy=cluster.addressed(t(SECURE)))
    cluster.refuse_unfinished()
    outdated.require_none(cluster.engine, cluster.topology)
    cluster.require_primary()


def _require_usable(cluster: Cluster, wanted: str, another: bool) -> None:
    """What signs is there, or what the user brings along is good."""
    begun, had = succession.begun(cluster), cluster.params.certificates
    if begun and wanted != had:
        raise ParameterError(t(BEGUN), remedy=cluster.addressed(t(FINISH)))
    if names := revoking.revoked(cluster):
        cause = t(REVOKED, names=", ".join(names))
        raise ParameterError(cause, remedy=cluster.addressed(t(DECIDE, name=names[0])))
    if wanted and revoking.any_ever(cluster):
        raise ParameterError(t(LISTED), remedy=cluster.addressed(t(ANOTHER)))
    own.require(cluster, cluster.topology.names, wanted)
    if not (wanted or another or begun):
        _require_signer(cluster)
    if wanted == had != "" and another and not succession.asked(cluster):
        raise ParameterError(t(THEIRS, folder=wanted), remedy=cluster.addressed(t(BRING)))


def _require_signer(cluster: Cluster) -> None:
    """What an authority signs that is over itself, nobody accepts."""
    by = certificates.signer(cluster).certificate
    if why := verifying.over(by, datetime.now(UTC)):
        raise StepFailed(t(OVER, why=why), remedy=cluster.addressed(t(ANOTHER_TOO)))


def _begin(cluster: Cluster) -> Action:
    def do(tell: Tell) -> None:
        succession.begin(cluster)
        cluster.engine.prepare()

    def done() -> bool:
        return succession.begun(cluster) and succession.trusts_both(cluster)

    made = certificates.command(cluster, certificates.OWNER, file=succession.NEW)
    typed = (f"[ -s secrets/{succession.NEW}.crt ] || {made}", succession.BOTH)
    return Action(typed, do, done, leaves=partial(succession.begin, cluster))


def _both(cluster: Cluster, instances: list[Instance]) -> Action:
    """Only then the new one signs; of a user's, nobody does here."""
    told = _all_told(instances)
    signs = () if cluster.params.certificates else (succession.SIGNS,)

    def do(tell: Tell) -> None:
        told.do(tell)
        succession.sign(cluster)

    def done() -> bool:
        return not succession.begun(cluster)

    sign = partial(succession.sign, cluster)
    return Action((*told.commands, *signs), do, done, leaves=sign)


def given_new(instance: Instance, *, due: bool) -> Action:
    """An instance's new certificate. due: whether it is to have another one than is there."""
    cluster, shows = instance.cluster, NOTHING
    if instance.prepared():
        shows = presenting_action(instance)

    def put() -> None:
        if due:
            certificates.put(cluster, instance.name)

    def do(tell: Tell) -> None:
        put()
        cluster.engine.prepare()  # hands it to the server's user
        shows.do(tell)

    def done() -> bool:
        return not due and shows.done()

    def leaves() -> None:
        put()
        shows.leaves()

    made = certificates.command(cluster, instance.name)
    return Action((made, *shows.commands), do, done, leaves=leaves)


def _alone(cluster: Cluster, instances: list[Instance]) -> Action:
    """With that, the change has ended."""

    def do(tell: Tell) -> None:
        succession.trust(cluster)
        cluster.engine.prepare()
        _all_told(instances).do(tell)
        succession.forget(cluster)

    def done() -> bool:
        return not succession.begun(cluster)

    typed = (succession.ALONE, *_all_told(instances).commands, succession.FORGOTTEN)
    return Action(typed, do, done, leaves=partial(succession.forget, cluster))


def _all_told(instances: list[Instance]) -> Action:
    """Each server has the authorities that are trusted now; one that runs reads them."""
    parts = [presenting_action(each) for each in instances if each.prepared()]

    def do(tell: Tell) -> None:
        for part in parts:
            part.do(tell)

    return Action(tuple(c for part in parts for c in part.commands), do)
