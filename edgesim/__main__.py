"""`python -m edgesim` is the console command."""

from edgesim.cli import main

main()
