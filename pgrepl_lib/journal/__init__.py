"""Recording what was done, and reading it again: the chained journal, past runs, their order.

It knows the doors and errors; what is said about a cluster is handed to it as facts.
"""
