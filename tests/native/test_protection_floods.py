"""Flood protection of a zone against a model: a window of one second that slides over two."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native import FLOODS, FloodLimits, ThreatType, ZoneProtection
from tests.support.protection import INSIDE, NS, OUTSIDE, PASSED, Knock, Protected, floods

KINDS = [("tcp_syn", 4), ("tcp_syn", 6), ("udp", 4), ("udp", 6), ("icmp", 4), ("icmpv6", 6)]
KINDS += [("other_ip", 4), ("other_ip", 6)]
REASONS = {
    "tcp_syn": "flow_dos_red_tcp",
    "udp": "flow_dos_red_udp",
    "icmp": "flow_dos_red_icmp",
    "icmpv6": "flow_dos_red_icmp6",
    "other_ip": "flow_dos_red_ip",
}


class Window:
    """Begins with a packet; from then on seconds follow each other until two pass without one."""

    def __init__(self) -> None:
        self._began_ns = 0
        self._seconds: Counter[int] = Counter()
        self._latest = -2

    def rate(self, now_ns: int) -> int:
        second, within = divmod(now_ns - self._began_ns, NS)
        share = self._seconds[second - 1] * (NS - within) // NS
        return self._seconds[second] + share

    def count(self, now_ns: int) -> int:
        if (now_ns - self._began_ns) // NS - self._latest >= 2:
            self._began_ns, self._seconds, self._latest = now_ns, Counter(), 0
        self._latest = (now_ns - self._began_ns) // NS
        self._seconds[self._latest] += 1
        return self.rate(now_ns)


def limits(activate: int, maximal: int, alarm: int = 1_000_000) -> FloodLimits:
    return FloodLimits(True, alarm=alarm, activate=activate, maximal=maximal)


gaps_ns = st.one_of(
    st.integers(0, 3 * NS), st.integers(0, NS // 10), st.sampled_from([0, 1, NS - 1, NS, 2 * NS])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(gaps_ns, st.sampled_from(KINDS)), max_size=120), st.integers(1, 12))
def test_what_is_above_the_maximal_rate_is_dropped(
    steps: list[tuple[int, tuple[str, int]]], maximal: int
) -> None:
    protected = Protected()
    each = {flood.name: limits(maximal, maximal) for flood in FLOODS}
    protected.configure(ZoneProtection(OUTSIDE, floods=floods(**each)))
    windows = {flood.name: Window() for flood in FLOODS}
    dropped: Counter[str] = Counter()
    for number, (gap_ns, (kind, family)) in enumerate(steps):
        protected.wait(gap_ns)
        rate = windows[kind].count(protected.now_ns)
        reason = protected.knock(Knock(kind, 1 + number, sport=1024 + number, family=family))
        assert reason == (REASONS[kind] if rate > maximal else PASSED)
        dropped[kind] += rate > maximal
        for name, window in windows.items():
            assert protected.flood(name) == (window.rate(protected.now_ns), dropped[name])


@pytest.mark.parametrize(("kind", "family"), KINDS)
def test_random_early_drop_grows_with_the_rate(kind: str, family: int) -> None:
    """At a rate held half way between both limits half of the packets are dropped, and so on."""
    for percent in (10, 50, 90):
        protected = Protected(max_sessions=20_000)
        protected.configure(ZoneProtection(OUTSIDE, floods=floods(**{kind: limits(1000, 2000)})))
        rate = 1000 + 10 * percent
        dropped = 0
        for number in range(4 * rate):
            protected.wait(NS // rate)
            knock = Knock(kind, 1 + number, sport=1024 + number % 60_000, family=family)
            dropped += protected.knock(knock) != PASSED and number >= rate
        share = 100 * dropped / (3 * rate)
        assert percent - 4 < share < percent + 4


@pytest.mark.parametrize(("kind", "family"), KINDS)
def test_one_zone_does_not_pay_for_another(kind: str, family: int) -> None:
    protected = Protected()
    protected.configure(ZoneProtection(OUTSIDE, floods=floods(**{kind: limits(1, 1, alarm=1)})))
    for number in range(10):
        knock = Knock(kind, 1 + number, sport=1024 + number, family=family)
        assert protected.knock(knock) == (REASONS[kind] if number else PASSED)
        assert protected.knock(knock._replace(source=100 + number), INSIDE) == PASSED
    assert protected.flood(kind) == (10, 9)
    assert protected.engine.zone_stats(INSIDE) is None
    (threat,) = protected.engine.threats()
    assert (threat.type, FLOODS[threat.what].name) == (ThreatType.FLOOD, kind)


def test_the_alarm_sounds_once_a_second() -> None:
    protected = Protected()
    protected.configure(ZoneProtection(OUTSIDE, floods=floods(udp=limits(5, 5, alarm=3))))
    for number in range(50):  # ten a second
        protected.knock(Knock(source=1 + number))
        protected.wait(NS // 10)
    threats = protected.engine.threats()
    assert [threat.now_ns // (NS // 10) for threat in threats] == [1002, 1012, 1022, 1032, 1042]
    assert [threat.repeat for threat in threats] == [1, 10, 10, 10, 10]
    assert [bool(threat.reason) for threat in threats] == [False, True, True, True, True]
    assert protected.engine.threats() == []
