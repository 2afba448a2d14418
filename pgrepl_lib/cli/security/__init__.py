"""The command line's verbs for who may come in, and how he proves who he is.

It knows what the other verbs know; `operations/security/` has what is done.
"""
