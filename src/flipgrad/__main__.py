"""``python -m flipgrad``: the command line."""

from flipgrad.cli.main import main

main()
