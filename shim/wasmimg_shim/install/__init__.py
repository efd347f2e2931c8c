"""Registering the shim with the container engines of a machine, and taking it back.

Here, beside the launcher and the names that engines call it by, and not in the command line, which
only asks and prints. Values (`machine`, `daemon_json`, `record`), then plans (`planning`: lists of
`operations` with `describe()`), then effects (`rooted`, `docker_api`, `ctr`). Nothing on the
start path imports any of it.
"""
