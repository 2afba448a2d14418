"""Claims about the machine and the cluster, each with what was expected and what was seen.

A check only looks: through the doors, at the cluster's servers and files.
"""
