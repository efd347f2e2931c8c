"""From a Rust project to an OCI image."""
