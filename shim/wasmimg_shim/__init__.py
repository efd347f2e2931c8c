"""Running a container: containerd shim, sandbox, engines and WASI host."""

#: The release, as in pyproject.toml. Zygotes of different releases don't serve each other's callers.
RELEASE = "0.1.0"
