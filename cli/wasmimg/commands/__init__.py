"""One module a command; glue only."""
