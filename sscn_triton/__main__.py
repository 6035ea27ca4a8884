"""`python -m sscn_triton` is the command `sscn`."""

from sscn_triton.cli import main

if __name__ == "__main__":
    main()
