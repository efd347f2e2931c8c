"""Running a container: containerd shim, sandbox, engines and WASI host."""
