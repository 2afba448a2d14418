"""The only side effects: processes, SQL, files, waiting, the terminal, the clock.

A door knows errors and other doors, and nothing of clusters.
"""
