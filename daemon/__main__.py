"""``python -m daemon``: the same as ``reflexd``."""

from daemon.cli import main

if __name__ == "__main__":
    main()
