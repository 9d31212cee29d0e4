"""The same packets alone, in bursts, and behind a link layer: the same verdicts and the same log.

Only what a burst can really hold: no packet in it answers another one of it, apart from UDP.
Without DISCARD sessions (discard-denied no) a burst is refused as one, so that policy is not here.
Where only one side may speak first, the other's DISCARD session gives way to it; a burst is of one
side there, since what waits behind one decision does not see the next.
"""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import Ether

from dataplane.snapshot import SecurityRule, Snapshot
from dataplane.traffic_log import Entry
from native import LinkType, Packet, VerdictAction
from tests.support.packets import ALLOW, FAMILIES, NS, Firewall, echo, snapshot, tcp, udp

ETHERTYPE = {4: 0x0800, 6: 0x86DD}

PACKETS: list[tuple[int, bytes]] = [
    (1, build)
    for family in FAMILIES
    for build in (
        tcp("S", family),
        tcp("A", family),
        tcp("FA", family),
        tcp("S", family, dport=81),
        udp(family),
        echo(family),
        echo(family, sequence=2),
    )
] + [(2, udp(family, back=True)) for family in FAMILIES]
PACKETS += [(1, b"no packet"), (4, udp()), (3, udp(src="203.0.113.30"))]

ONE_WAY = snapshot(SecurityRule(name="no", action="drop", from_zones=("untrust",)), ALLOW)
POLICIES = [
    snapshot(ALLOW),
    snapshot(SecurityRule(name="no", action="reset-both")),
    ONE_WAY,
    snapshot(ALLOW, tcp_reject_non_syn=False),
]
BURSTS = st.lists(
    st.tuples(
        st.sampled_from([0, NS, 6 * NS, 31 * NS]), st.lists(st.sampled_from(PACKETS), max_size=16)
    ),
    max_size=5,
)


class Outcome(NamedTuple):
    verdicts: list[tuple[int, int, int]]  # action, reason and egress port, by packet
    entries: list[Entry]
    counters: dict[str, int]


WAYS = {"flow_parked", "flow_undecided"}  # how it came to the verdict, which may differ


def outcome(
    policy: Snapshot,
    bursts: list[tuple[int, list[tuple[int, bytes]]]],
    *,
    alone: bool = False,
    ethernet: bool = False,
) -> Outcome:
    firewall = Firewall(policy)
    found: dict[int, tuple[int, int, int]] = {}
    now_ns, tag = 0, 0
    for step_ns, packets in bursts:
        now_ns += step_ns
        burst = []
        for port, data in packets:
            tag += 1
            if ethernet:
                family = data[0] >> 4
                frame = bytes(Ether(type=ETHERTYPE.get(family, 0x0800))) + data
                burst.append(Packet(frame, port, now_ns, tag, LinkType.ETHERNET))
            else:
                burst.append(Packet(data, port, now_ns, tag))
        pieces = [[packet] for packet in burst] if alone else [burst]
        for piece in pieces:
            for verdict in firewall.engine.feed(piece, one_at_a_time=alone):
                if verdict.action is not VerdictAction.EMIT:
                    found[verdict.tag] = (verdict.action, verdict.reason, verdict.port)
    firewall.tick(10_000)
    entries = sorted(firewall.entries(), key=lambda entry: (entry.start, repr(entry)))
    counters = {k: v for k, v in firewall.counters().items() if k not in WAYS}
    return Outcome([found[number + 1] for number in range(tag)], entries, counters)


def without_ids(outcome: Outcome) -> list[dict[str, object]]:
    """Slots are given in the order of the answers, which a burst may change."""
    texts = [
        {f: getattr(e, f) for f in e.__struct_fields__ if f != "sessionid"} for e in outcome.entries
    ]
    return sorted(texts, key=repr)


@given(st.sampled_from(POLICIES), BURSTS)
def test_alone_and_in_bursts(
    policy: Snapshot, bursts: list[tuple[int, list[tuple[int, bytes]]]]
) -> None:
    if policy is ONE_WAY:
        bursts = [(step, [p for p in packets if p[0] == packets[0][0]]) for step, packets in bursts]
    together, alone = outcome(policy, bursts), outcome(policy, bursts, alone=True)
    assert together.verdicts == alone.verdicts
    assert together.counters == alone.counters
    assert without_ids(together) == without_ids(alone)


@given(st.sampled_from(POLICIES), BURSTS)
def test_with_and_without_a_link_layer(
    policy: Snapshot, bursts: list[tuple[int, list[tuple[int, bytes]]]]
) -> None:
    proper = [(step, [p for p in packets if p[1] != b"no packet"]) for step, packets in bursts]
    assert outcome(policy, proper) == outcome(policy, proper, ethernet=True)
