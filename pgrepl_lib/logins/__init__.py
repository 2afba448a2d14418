"""Who may log in, and with what: the passwords, their files, and what the servers know of them.

It knows the cluster as data and its engine; steps say when a password is made or set right.
"""
