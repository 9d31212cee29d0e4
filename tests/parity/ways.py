"""With and without the offload engine: the ways in which a script is played."""

from typing import NamedTuple


class Way(NamedTuple):
    """A device and `set session offload` by an administrator: yes, no, or never given (None)."""

    platform: str
    before: bool | None = None  # the first packet
    halfway: bool | None = None

    @property
    def offloads(self) -> bool:
        """At any time."""
        return self.platform != "software" and (self.before, self.halfway) != (False, None)

    @property
    def offloads_at_the_end(self) -> bool:
        last = self.before if self.halfway is None else self.halfway
        return self.platform != "software" and last is not False


SOFTWARE = Way("software")
USUAL = Way("pa-5000", before=True)
WAYS = {
    "software": SOFTWARE,
    "off": Way("pa-5000", before=False),
    "pa-5000": USUAL,
    "pa-7000": Way("pa-7000", before=True),
    "switched off halfway": Way("pa-5000", before=True, halfway=False),
    "switched on halfway": Way("pa-5000", before=False, halfway=True),
}
