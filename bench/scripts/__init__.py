"""The scripts people write by hand, as they are written: no checkpoints, no retries of their own.

Each takes `URL KIND ITEMS.jsonl IN_FLIGHT`, reads all items, makes the calls and writes the answers
to answers.jsonl. They are given as many kept connections as calls in flight; left to its defaults
httpx keeps 20.
"""
