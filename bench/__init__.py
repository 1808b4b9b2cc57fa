"""Measurements: what Penstock takes and gives, beside the scripts people write by hand.

`make bench` runs all of them; `python -m bench.plan` and the like run one.
"""
