"""What the command-line tools share, and the ``pgan`` command that runs them."""

from pgan.cli.arguments import ArgumentParser, positive_int
from pgan.cli.errors import report_errors

__all__ = ["ArgumentParser", "positive_int", "report_errors"]
