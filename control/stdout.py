"""The standard output that nobody reads any more, or that cannot be written."""

import os
import sys


def open_what_is_closed() -> None:
    """Whoever closed standard output or error does not want to read it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for good


def discard() -> None:
    """What is left to be written, and all that follows, goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
