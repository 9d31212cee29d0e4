"""How `make run`, `make vm` and `make vm-run` end: with a status, never with a traceback."""

import sys
from collections.abc import Callable
from typing import NoReturn

from control import stdout

INTERRUPTED = 130


def conclude(as_expected: bool) -> int:
    """The status of a demonstration, and where to look if it is not 0."""
    if not as_expected:
        print("\nNot everything went as expected: see the lines marked WRONG.", file=sys.stderr)
    return 0 if as_expected else 1


def run(main: Callable[[], int]) -> NoReturn:
    """Ends with the status of `main`, also where somebody interrupts it or reads no more of it."""
    try:
        sys.exit(main())
    except (KeyboardInterrupt, BrokenPipeError):
        stdout.discard()  # where nobody reads it any more
        sys.exit(INTERRUPTED)
