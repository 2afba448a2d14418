"""Instances as containers of the official image, through the Docker SDK and Compose.

It knows the doors and what all engines share; the other engine is a stranger to it.
"""
