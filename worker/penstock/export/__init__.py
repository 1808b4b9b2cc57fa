"""Results in input order, written to where they are wanted.

A file, an object, a table, a file or an object for each item, or standard output. Start at
`destination.py`, which settles where; `rows.py` decides what a row looks like.
"""
