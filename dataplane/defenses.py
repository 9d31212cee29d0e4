"""What an administrator asks of the protection against attacks: its figures and its blocks."""

from collections.abc import Iterable, Iterator

from dataplane.addresses import packed, text
from dataplane.engine import Engine
from dataplane.messages import Block, DosFigures, FloodFigures, ZoneFigures
from native import FLOODS, PROTECTIONS, SCANS, Blocked, FloodStats, ThreatType

_NS = 1_000_000_000
_ANY = bytes(16)


class Defenses:
    """Of an engine; everything is bounded work. Names nobody has configured are ValueErrors."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._native = engine.native
        self._zones = engine.tables.zones
        self._dos_rules = engine.tables.dos_rules

    def zones(self, wanted: str) -> tuple[ZoneFigures, ...]:
        """Of one zone, or, where it is "", of all with a profile."""
        protected = [zone.name for zone in self._engine.snapshot.zones if zone.protection]
        if wanted and wanted not in protected:
            there_are = f"; zones with one: {', '.join(protected)}" if protected else ""
            raise ValueError(f"zone {wanted} has no zone protection profile{there_are}")
        return tuple(self._figures([wanted] if wanted else protected))

    def _figures(self, zones: Iterable[str]) -> Iterator[ZoneFigures]:
        for zone in zones:
            number = self._zones.find(zone)
            stats = None if number is None else self._native.zone_stats(number)
            assert stats is not None  # what is configured has a number, and figures
            scans = zip(SCANS, stats.scans, strict=True)
            checks = zip(PROTECTIONS, stats.checks, strict=True)
            yield ZoneFigures(
                zone,
                _floods(stats.floods),
                {scan.name: dropped for scan, dropped in scans},
                {check.name: dropped for check, dropped in checks},
            )

    def dos_rule(self, rule: str) -> DosFigures:
        number = self._dos_rules.find(rule)
        stats = None if number is None else self._native.dos_stats(number)
        if stats is None:
            raise ValueError(f"no DoS protection rule {rule} is in force")
        return DosFigures(_floods(stats.floods), *stats[1:])

    def blocks(self, cursor: int, zone: str, now_ns: int) -> tuple[list[Block], int]:
        """A page of entries of a zone, or of all, and where to go on, 0 at the end."""
        found, cursor = self._page(cursor, zone)
        return [self._block(one, now_ns) for one in found], cursor

    def unblock(self, cursor: int, zone: str, source: str) -> tuple[int, int]:
        """How many entries are gone, and where to go on, 0 at the end."""
        wanted = packed(source) if source else None
        if not zone:
            return self._native.unblock(wanted), 0
        found, cursor = self._page(cursor, zone)
        sources = {one.source for one in found if wanted in (None, one.source)}
        return sum(self._native.unblock(one) for one in sources), cursor

    def _page(self, cursor: int, zone: str) -> tuple[list[Blocked], int]:
        number = self._zones.find(zone) if zone else None
        if zone and number is None:
            raise ValueError(f"no port is in zone {zone}")
        found, cursor = self._native.blocks(cursor)
        return [one for one in found if number in (None, one.zone)], cursor

    def _block(self, blocked: Blocked, now_ns: int) -> Block:
        return Block(
            source=text(blocked.source),
            destination="" if blocked.destination == _ANY else text(blocked.destination),
            zone=self._zones.name(blocked.zone),
            why=ThreatType(blocked.why).name.lower().replace("_", "-"),
            rule=self._dos_rules.name(blocked.rule),
            left_s=max(0, -(-(blocked.until_ns - now_ns) // _NS)),
            dropped=blocked.dropped,
        )


def _floods(stats: Iterable[FloodStats]) -> dict[str, FloodFigures]:
    return {flood.name: FloodFigures(*one) for flood, one in zip(FLOODS, stats, strict=True)}
