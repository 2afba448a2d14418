"""The checks by name: a claim about the running cluster, and how it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psycopg

from ..cluster.changes import left
from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..errors import PgreplError, first_line
from ..logins.tls import refusing
from ..words.text import Text, joined, mark, t
from .outcome import Check, Fact

HANGS = mark("a paused one: `pgrepl run`; a primary that stays so: `pgrepl failover`")
Look = Callable[[AnyCluster], Iterable[Fact]]


class NotTried(Exception):
    """A check cannot be made here. expected: what it would expect; why: what hinders it."""

    def __init__(self, expected: str, why: str) -> None:
        super().__init__(why)
        self.expected, self.why = expected, why


@dataclass(frozen=True)
class Claim:
    """A check that can be made.

    title, hint: English, as they stand in the catalogues. look: gives a fact for each instance.
    manual, cis: the sections of PostgreSQL's manual and of the CIS PostgreSQL 17 Benchmark that
    ask for it, where some do.
    """

    name: str
    title: str
    hint: str
    look: Look
    manual: str = ""
    cis: str = ""

    def said(self) -> Text:
        """What it claims, and who asks for it, for people."""
        sources: list[str] = []
        if self.manual:
            sources.append(t("PostgreSQL manual {sections}", sections=self.manual))
        if self.cis:
            sources.append(f"CIS PostgreSQL 17 {self.cis}")
        return joined(" · ", [t(self.title), *sources])

    def __call__(self, cluster: AnyCluster, hung: str = "") -> Check:
        """Make it. hung: who hangs, where that is known: then nobody is asked."""
        hint = cluster.addressed(t(self.hint))
        if hung:
            facts: tuple[Fact, ...] = (Fact("", t("an answer"), hung),)
            return Check(self.name, self.said(), facts, cluster.addressed(t(HANGS)))
        try:
            facts = tuple(self.look(cluster))
        except NotTried as error:
            why = t("not tried, {why}", why=error.why)
            fact = Fact("", error.expected, cluster.addressed(why))
            return Check(self.name, self.said(), (fact,), hint, tried=False)
        except (PgreplError, psycopg.Error, OSError, LookupError) as error:
            advice = getattr(error, "remedy", "")
            facts = (Fact("", t("an answer"), first_line(error), advice),)
        made = Check(self.name, self.said(), facts, hint)
        if made.passed:
            return made
        remedies = [fact.remedy for fact in facts if fact.remedy and not fact.holds]
        if self.name in (*left.CHECKS, "login"):
            remedies.append(refusing.told(cluster))
        return Check(self.name, self.said(), facts, cluster.ways_on(self.name, remedies) or hint)


CHECKS: dict[str, Claim] = {}
SECURITY: dict[str, Claim] = {}  # `pgrepl check --security`


def check(name: str, title: str, hint: str) -> Callable[[Look], Claim]:
    """Register a function that looks, and gives what it expects and sees of each instance.

    title: the claim, hint: what to do where it is not true; both marked for the catalogues.
    """

    def register(look: Look) -> Claim:
        CHECKS[name] = Claim(name, title, hint, look)
        return CHECKS[name]

    return register


def security(
    name: str, title: str, hint: str, *, manual: str = "", cis: str = ""
) -> Callable[[Look], Claim]:
    """The same for a claim about who may come in. manual, cis: who asks for it (`Claim`)."""

    def register(look: Look) -> Claim:
        def seen(cluster: AnyCluster) -> Iterable[Fact]:
            facts = tuple(look(cluster))
            if not facts:  # nobody is let in, which proves nothing
                raise NotTried(t("an answer"), t("no instance runs that could show it"))
            return facts

        SECURITY[name] = Claim(name, title, hint, seen, manual, cis)
        return SECURITY[name]

    return register


def running(cluster: AnyCluster) -> list[Server]:
    """The instances that run."""
    return [cluster.instance(n) for n in cluster.topology.names if cluster.engine.running(n)]


def of_running(seen: Callable[[Server], tuple[str, str]]) -> Look:
    """Make of a look at one instance, which gives what is expected and seen there, one at all.

    Those that do not run let nobody in.
    """

    def look(cluster: AnyCluster) -> Iterable[Fact]:
        for server in running(cluster):
            yield Fact(server.name, *seen(server))

    return look


def of_replicas(seen: Callable[[Server], tuple[str, str]]) -> Look:
    """Make of a look at one replica, which gives what is expected and seen there, one at all.

    Where there is none, that is a fact that does not hold.
    """

    def look(cluster: AnyCluster) -> Iterable[Fact]:
        if not cluster.replicas:
            yield Fact("", t("a replica"), t("no replica"))
        for replica in cluster.replicas:
            yield Fact(replica.name, *seen(replica))

    return look
