"""Reconnaissance protection against a model: sets of what each source has tried in an interval."""

from hypothesis import given, settings
from hypothesis import strategies as st

from native import SCANS, ScanLimits, ThreatType, ZoneProtection
from tests.support.protection import NS, OUTSIDE, PASSED, Knock, Protected, host, scans

# with few things tried two of them seldom share a bit, and of these targets none do
THRESHOLD, INTERVAL_S, BLOCK_S = 4, 2, 5
SOURCES = range(1, 4)

steps = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, NS // 3, 2 * NS]), st.sampled_from(SOURCES), st.integers(0, 9)
    ),
    max_size=80,
)


def _protected(action: str) -> Protected:
    protected = Protected()
    sweep = ScanLimits(True, False, action, INTERVAL_S, THRESHOLD, BLOCK_S)
    protected.configure(ZoneProtection(OUTSIDE, scans=scans(host_sweep=sweep)))
    return protected


class Sweeps:
    """What each source has tried, and since when."""

    def __init__(self) -> None:
        self._tried: dict[int, tuple[int, set[int]]] = {}

    def tries(self, source: int, target: int, now_ns: int) -> bool:
        """Whether it sweeps."""
        began_ns, targets = self._tried.get(source, (-(10**18), set()))
        if now_ns - began_ns >= INTERVAL_S * NS:
            began_ns, targets = now_ns, set()
        targets.add(target)
        self._tried[source] = began_ns, targets
        return len(targets) >= THRESHOLD


@settings(max_examples=80, deadline=None)
@given(steps, st.sampled_from(["allow", "alert", "block"]))
def test_a_sweep_is_what_a_set_says(found: list[tuple[int, int, int]], action: str) -> None:
    protected, sweeps = _protected(action), Sweeps()
    dropped = noted = 0
    for number, (gap_ns, source, target) in enumerate(found):
        protected.wait(gap_ns)
        is_sweep = sweeps.tries(source, target, protected.now_ns)
        reason = protected.knock(Knock("udp", source, 2000 + target, sport=1024 + number))
        is_dropped = is_sweep and action == "block"
        assert reason == ("flow_scan_drop" if is_dropped else PASSED)
        dropped += is_dropped
        noted += is_sweep and action != "allow"
    assert protected.scanned("host_sweep") == dropped
    threats = protected.engine.threats()
    assert bool(threats) == bool(noted)
    assert all(SCANS[threat.what].name == "host_sweep" for threat in threats)
    assert all(threat.action == action for threat in threats)


@settings(max_examples=80, deadline=None)
@given(steps)
def test_who_sweeps_is_blocked_for_its_time(found: list[tuple[int, int, int]]) -> None:
    protected, sweeps = _protected("block-ip"), Sweeps()
    until_ns = dict.fromkeys(SOURCES, 0)
    for number, (gap_ns, source, target) in enumerate(found):
        protected.wait(gap_ns)
        reason = protected.knock(Knock("udp", source, 2000 + target, sport=1024 + number))
        if protected.now_ns < until_ns[source]:
            assert reason == "flow_dos_drop_ip_blocked"
        elif sweeps.tries(source, target, protected.now_ns):
            assert reason == "flow_scan_drop"
            until_ns[source] = protected.now_ns + BLOCK_S * NS
        else:
            assert reason == PASSED
        blocked, _ = protected.engine.blocks()
        assert {item.source: item.until_ns for item in blocked} == {
            host(who): end for who, end in until_ns.items() if end > protected.now_ns
        }
        assert all(item.why == ThreatType.SCAN for item in blocked)
