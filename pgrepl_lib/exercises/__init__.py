"""Exercises: tasks for a workshop's participant, whose checks look at the cluster.

Above drills and operations, which make their faults and solve them; no chapter calls them.
"""
