"""`python -m wasmimg`."""

from wasmimg.main import main

main()
