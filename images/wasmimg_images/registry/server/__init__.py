"""A registry on a directory, per OCI distribution-spec 1.1: `listener.serve` runs it.

From the inside out: `storage` knows files, `blobs` and `manifests` know the specification, `route`
reads addresses, `listener` knows HTTP. Only the standard library is used.
"""
