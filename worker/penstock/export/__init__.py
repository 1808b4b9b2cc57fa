"""Results in input order, written to a file or to standard output.

Start at `write.py`; `rows.py` decides what a row looks like.
"""
