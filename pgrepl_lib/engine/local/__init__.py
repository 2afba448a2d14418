"""Instances as PostgreSQL processes of this machine, from registry packages alone.

It knows the doors and what all engines share; the other engine is a stranger to it.
"""
