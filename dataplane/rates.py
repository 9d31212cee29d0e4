"""Packet rate, throughput and sessions per second, as `show session info` prints them."""

from typing import NamedTuple

from native import Stats

_WINDOW_NS = 1_000_000_000


class Rates(NamedTuple):
    packets_per_s: int = 0
    kbps: int = 0
    sessions_per_s: int = 0


class RateMeter:
    """Averages over the last full second or more between two ticks."""

    def __init__(self, stats: Stats, now_ns: int) -> None:
        self._stats, self._since_ns = stats, now_ns
        self.rates = Rates()

    def is_due(self, now_ns: int) -> bool:
        return now_ns - self._since_ns >= _WINDOW_NS

    def tick(self, stats: Stats, now_ns: int) -> None:
        seconds = (now_ns - self._since_ns) / 1e9
        before = self._stats
        self.rates = Rates(
            packets_per_s=int((stats.packets - before.packets) / seconds),
            kbps=int((stats.bytes - before.bytes) * 8 / 1000 / seconds),
            sessions_per_s=int((stats.installed - before.installed) / seconds),
        )
        self._stats, self._since_ns = stats, now_ns
