"""Waiting for a condition, never for a time: the one place in the lab that reads a clock."""

import time
from collections.abc import Callable


def now_s() -> float:
    """Seconds since some moment; good for differences."""
    return time.monotonic()  # noqa: TID251 - the lab is an edge


def wait_until(
    condition: Callable[[], bool], what: str, *, seconds: float, every_s: float = 0.02
) -> None:
    """Polls until the condition holds. Raises TimeoutError, which says what was waited for."""
    deadline = now_s() + seconds
    while not condition():
        if now_s() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every_s)
