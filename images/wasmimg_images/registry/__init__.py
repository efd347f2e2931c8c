"""Registries: a client that pushes and pulls, and a registry served from a directory.

Source: OCI distribution-spec 1.1. Nothing is imported here, so that a caller pays only for the part
it names: `client` (needs urllib3), `credentials`, `server` (needs http.server).
"""
