"""What steps do to a server, as actions: how it gets its data, follows, starts, has its role.

They take servers, and know nothing of how a step is performed.
"""
