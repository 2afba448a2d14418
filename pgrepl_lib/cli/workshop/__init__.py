"""The command line's verbs for a workshop: its exercises.

As the rest of the command line, it stands above all else.
"""
