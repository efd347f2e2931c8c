"""Containers without a daemon: single ones and whole Compose files."""
