"""Images as one file or one folder: OCI layouts, OCI archives and Docker's own archives."""
