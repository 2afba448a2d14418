"""The command line: what a person types, and what is answered.

It stands on top and holds no knowledge of its own.
"""
