"""Faults and load made on purpose, for learning what they look like and for undoing them.

They use steps and operations as a person would; nothing else knows them.
"""
