"""What PostgreSQL defines, without I/O: positions, time lines, files, connection strings, limits.

It knows errors and nothing else of ours, so that each rule can be read beside the manual's
section that it names.
"""
