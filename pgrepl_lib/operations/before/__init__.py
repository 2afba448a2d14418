"""Before a step of a change of roles: what must have been done, and what the change costs.

It asks the servers, and changes nothing.
"""
