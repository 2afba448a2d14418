"""Engines: how instances are run. Both pass the same contract tests.

They know PostgreSQL's rules and the doors; a cluster is a name to them.
"""
