"""The command line's verbs for a class on one host.

They say who takes part; `classroom/` has what is done.
"""
