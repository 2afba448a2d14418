"""What PostgreSQL itself defines, without any I/O: positions, time lines, configuration files, connection strings, limits.

It knows errors and nothing else of ours, so that each rule can be read beside the manual's
section that it names.
"""
