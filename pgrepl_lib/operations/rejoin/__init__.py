"""A former primary comes back: what only it has is kept first, then it follows the new one.

It knows what other operations know; nothing here decides who becomes the primary.
"""
