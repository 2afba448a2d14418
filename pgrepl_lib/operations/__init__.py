"""Several steps that change roles or versions: switchover, failover, synchronous replication.

They know the cluster, its engine and steps; checks, evidence and the command line stand above
them.
"""
