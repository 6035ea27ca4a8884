"""`python -m sscn_triton.bench.gpu`, which `make gpu` runs."""

import sys

from sscn_triton.bench.gpu.command import main

if __name__ == "__main__":
    sys.exit(main())
