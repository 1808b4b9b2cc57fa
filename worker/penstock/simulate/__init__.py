"""A provider that throttles, on this machine: `penstock simulate`.

For trying a job out without paying anybody, and for Penstock's own tests. The pieces, in the order
a request meets them: server (HTTP) → admission (limits) → faults → backend (time) → answers (what
comes back); stats counts along the way. Everything but server, backend and command is pure.
"""
