"""Kubernetes objects as plain values: pure, one file an object, no client."""
