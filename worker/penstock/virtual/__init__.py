"""Rate control in virtual time: described providers, the real code against them, and the peers.

`penstock simulate --virtual` and `make bench-rate` run it. The pieces: draw (a file that describes
many providers becomes one) → scenario (the model) → provider (who is let through, how long an
answer takes) → engine (pods, calls and the clock) → score (what it came to). algorithms names what
can be tried. Nothing here sleeps; a run depends on its scenario and its seed alone.
"""
