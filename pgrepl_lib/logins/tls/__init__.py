"""Certificates: made, brought along, revoked, replaced, and what speaks against one.

An instance's lie in `secrets/` of the cluster's folder; steps hand them to its server.
"""
