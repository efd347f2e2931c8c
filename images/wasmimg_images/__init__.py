"""What a container image is: values, local store, layers, and registries."""
