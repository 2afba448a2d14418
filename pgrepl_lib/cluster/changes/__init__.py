"""A change of roles that goes on: what is recorded of it, who was promoted, what leads on.

It knows parameters, engine and topology; the change itself is made in operations.
"""
