"""A class on one host: a JupyterHub, and for each participant a system user and a cluster.

It hands out what `pgrepl lab` opens and knows nothing of what is done there.
"""
