"""What is claimed about a running cluster: roles, streaming, data, access, what was agreed.

A check leaves nothing in the databases: what it writes to prove something it removes.
"""
