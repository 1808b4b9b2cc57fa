"""Clients of others for the bench against real time: each a script of its own.

They run in a virtual environment of their own (bench/peers.py) and import nothing of Penstock.
"""
