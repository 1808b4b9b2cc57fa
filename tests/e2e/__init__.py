"""Tests on a real Kubernetes; `tests/e2e/conftest.py` says which one."""
