"""The cluster, its instances, who they are, whose they are, and what is stored about them.

It knows engines, PostgreSQL's rules and the doors; what changes roles stands above it.
"""
