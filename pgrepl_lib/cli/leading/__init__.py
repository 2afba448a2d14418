"""The command line's verbs for a workshop's leader: who is how far.

Journals are read, and nothing else.
"""
