"""Why a server would refuse an instance, as far as its certificate says so, and the way on."""

from __future__ import annotations

from datetime import UTC, datetime

from ...cluster.members import AnyCluster
from ...cluster.project import Project
from ...errors import StepFailed
from ...postgres import tls
from ...words.text import joined, mark, t
from . import certificates, revoking, succession, verifying

AUTHORITY_OVER = mark(
    "the authority's certificate is over ({why}): `pgrepl rotate certificates --authority`"
)
OVER = mark("the certificate of {name} is over ({why}): `pgrepl rotate certificates`")
NOT_LET_IN = mark("A replica is not let in, for a certificate; nothing was changed.")
UNFINISHED = mark(
    "a change to another authority has begun and not ended: `pgrepl rotate certificates`"
)
REVOKED = mark("the certificate of {name} is revoked: `pgrepl revoke {name} --undo`")


def told(cluster: Project) -> str:
    """Each certificate that is good no more, with what leads on; empty where all are good."""
    if cluster.params.tls == tls.OFF:
        return ""
    found, now = list[str](), datetime.now(UTC)
    if why := verifying.over(certificates.present(cluster, certificates.OWNER).certificate, now):
        found.append(cluster.addressed(t(AUTHORITY_OVER, why=why)))
    for name in cluster.topology.names:
        if why := verifying.over(certificates.present(cluster, name).certificate, now):
            found.append(cluster.addressed(t(OVER, name=name, why=why)))
    found += [cluster.addressed(t(REVOKED, name=name)) for name in revoking.revoked(cluster)]
    return joined("; ", found)


def unfinished(cluster: Project) -> str:
    """That both authorities are still trusted, and what ends that; else empty."""
    begun = cluster.params.tls == tls.ON and succession.begun(cluster)
    return cluster.addressed(t(UNFINISHED)) if begun else ""


def require_let_in(cluster: AnyCluster) -> None:
    """Raise `StepFailed` where a replica runs and does not stream, and a certificate is why."""
    advice, running = told(cluster), cluster.engine.running
    if advice and not all(r.streams()[0] for r in cluster.replicas if running(r.name)):
        raise StepFailed(t(NOT_LET_IN), remedy=advice)
