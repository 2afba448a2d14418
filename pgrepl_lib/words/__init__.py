"""Texts that a person reads: how they are addressed, completed and made legible.

It turns facts into words and knows parameters and errors; no step, check or engine asks it for
a decision.
"""
