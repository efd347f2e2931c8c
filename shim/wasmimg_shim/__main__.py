"""`python -m wasmimg_shim`: the shim's program, for an interpreter that finds the packages."""

import sys

from wasmimg_shim.main import main

if __name__ == "__main__":
    sys.exit(main())
