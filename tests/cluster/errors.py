"""The one error of the cluster's commands: what is wrong and what would be right."""

from __future__ import annotations


class ClusterError(Exception):
    """Something a person has to know; `__main__` prints the message and ends with 1."""
