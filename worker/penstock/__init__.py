"""Penstock: run a list of items through an API that pushes back, and lose nothing on the way."""

from penstock.functions import Context, Permanent, Throttled

__all__ = ["Context", "Permanent", "Throttled"]
__version__ = "0.1.0"
