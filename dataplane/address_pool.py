"""Addresses of several ranges in a row, by their place in it."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from dataplane.addresses import V4_PREFIX, text, widened
from dataplane.snapshot import AddressRange


class AddressPool:
    """Addresses have 16 bytes; `size` counts them."""

    def __init__(self, ranges: Iterable[AddressRange]) -> None:
        self._ranges = [(widened(r.first), widened(r.last)) for r in ranges]
        self._firsts = [int.from_bytes(first, "big") for first, _ in self._ranges]
        lengths = [
            int.from_bytes(last, "big") - number + 1
            for (_, last), number in zip(self._ranges, self._firsts, strict=True)
        ]
        self._starts = [0, *accumulate(lengths)]  # the place of each range's first address
        self.size = self._starts.pop()

    def at(self, place: int) -> bytes:
        """The address at a place below `size`."""
        index = bisect_right(self._starts, place) - 1
        return (self._firsts[index] + place - self._starts[index]).to_bytes(16, "big")

    def __str__(self) -> str:
        return ", ".join(
            text(first) if first == last else f"{text(first)}-{text(last)}"
            for first, last in self._ranges
        )


def by_family(ranges: Iterable[AddressRange]) -> dict[int, AddressPool]:
    """The pools of each family that has addresses: 4, 6."""
    families: dict[int, list[AddressRange]] = {}
    for one in ranges:
        family = 4 if widened(one.first).startswith(V4_PREFIX) else 6
        families.setdefault(family, []).append(one)
    return {family: AddressPool(own) for family, own in families.items()}
