"""Networks of containers: bridges, addresses, namespaces, published ports."""
