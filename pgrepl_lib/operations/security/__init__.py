"""Nobody gets in who is not meant to: TLS for a cluster that exists, and the way back; new
passwords and certificates; revoked ones.

It does the steps of chapters 01 and 02 once more, in an order in which replication goes on.
"""
