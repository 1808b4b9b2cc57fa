"""What others do against 429s, from their published descriptions, to be measured beside Penstock.

Each is a client that knows nothing of the other pods, with the defaults it is published with. They
are written anew for this simulation and simplified to what decides: how many calls are in flight,
how fast they go, and what a 429 does to either. A refused call is sent again when its client may.
"""
