"""What a cell shows: steps, tables, plots and pictures.

It stands above steps, checks and operations, and nothing below imports it.
"""
