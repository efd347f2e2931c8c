"""Linux from Python: system calls, and what a sandbox makes of them.

Each module owns one kernel noun. Nothing here knows containers' lives, engines or protocols.
"""
