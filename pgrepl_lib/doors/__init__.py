"""The only side effects: processes, SQL, files, waiting, the terminal, the clock.

A door knows errors and other doors, and nothing of clusters. Doors that are still beside this
folder move in with the rebuild.
"""
