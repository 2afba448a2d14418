"""Nobody gets in who is not meant to: TLS for a cluster that exists, the way back, renewal.

It does the steps of chapters 01 and 02 once more, in an order in which replication goes on.
"""
