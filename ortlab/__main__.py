"""`python -m ortlab` is the `ortlab` command."""

from ortlab.cli.main import main

if __name__ == "__main__":
    main()
