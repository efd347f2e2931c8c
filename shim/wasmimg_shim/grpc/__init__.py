"""gRPC's calling side, for containerd's own socket: one connection, one call after the other.

HTTP/2 is the package h2's. Nothing here is imported before a container needs it.
"""
