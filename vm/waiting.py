"""Waiting for a condition, never for a time: the one place in the lab that reads a clock."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], bool], what: str, *, seconds: float, every_s: float = 0.02
) -> None:
    """Polls until the condition holds. Raises TimeoutError, which says what was waited for."""
    deadline = time.monotonic() + seconds  # noqa: TID251 - the lab is an edge
    while not condition():
        if time.monotonic() > deadline:  # noqa: TID251
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every_s)
