"""``python -m mdpseg``."""

from mdpseg.cli import main

main()
