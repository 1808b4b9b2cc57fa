"""Penstock: run a list of items through an API that pushes back, and lose nothing on the way."""

__version__ = "0.1.0"
