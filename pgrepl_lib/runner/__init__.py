"""Chapters through papermill with one kernel for all, and the same cells with nothing touched.

It stands above all that the chapters call; only the command line knows it.
"""
