"""`python -m kala` is the `kala` command."""

from kala.cli import main

if __name__ == "__main__":
    main()
