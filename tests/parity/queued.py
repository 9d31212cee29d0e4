"""What has to become of a script at an edge of the kernel's queue, told from what a capture's does.

The kernel forwards what is accepted: one hop less. What the firewall says in its own name is not
looked at, since its host has to say some itself. Besides, there are the script's differences.
"""

from pathlib import Path

from tests.parity.outcome import CLOCK, IDS, Outcome
from tests.parity.reference import expected
from tests.parity.scripts import Script
from tests.parity.ways import USUAL, Way
from tests.support.packets import TTL
from tests.support.wires import OWN, forwarded


def _without_padding(packet: bytes) -> bytes:
    is_v4 = packet[0] >> 4 == 4
    return packet[: int.from_bytes(packet[2:4]) if is_v4 else 40 + int.from_bytes(packet[4:6])]


def _ttl(packet: bytes) -> int:
    return packet[8] if packet[0] >> 4 == 4 else packet[7]


def _flow_by_flow(packets: list[bytes]) -> list[bytes]:
    """The flows in the order of their first packets, one after the other."""
    flows: dict[bytes, list[bytes]] = {}
    for packet in packets:
        addresses_and_ports = packet[12:24] if packet[0] >> 4 == 4 else packet[8:44]
        flows.setdefault(addresses_and_ports, []).append(packet)
    return [packet for flow in flows.values() for packet in flow]


def _is_an_error_of_the_firewall(packet: bytes) -> bool:
    return packet[12:16] in OWN if packet[0] >> 4 == 4 else packet[8:24] in OWN


def comparable(outcome: Outcome) -> Outcome:
    """What a queue and a capture have in common.

    What the firewall says itself enters the kernel by another socket than verdicts do, and may
    overtake them: it is looked at behind the rest.
    """
    out = {
        port: sorted(packets, key=_is_an_error_of_the_firewall)
        for port, packets in outcome.out.items()
    }
    return outcome._replace(out=out).apart_from(CLOCK | IDS)


def expected_of_a_queue(script: Script, edge: str, folder: Path, way: Way = USUAL) -> Outcome:
    wanted = expected(script, folder / "capture", way)
    arrived = {_without_padding(sent.packet) for sent in script.packets}
    counters, log = wanted.counters, wanted.log
    out = {
        port: [
            forwarded(packet) if packet in arrived or _ttl(packet) == TTL else packet
            for packet in packets
        ]
        for port, packets in wanted.out.items()
    }
    difference = script.difference
    if difference and edge in difference.edges:
        out = {port: packets[: difference.out] for port, packets in out.items() if difference.out}
        if difference.flow_by_flow:
            out = {port: _flow_by_flow(packets) for port, packets in out.items()}
        if difference.counters is not None:
            counters = difference.counters
            decided = script._replace(packets=script.packets[: difference.out])
            log = expected(decided, folder / "decided", way).log
    return comparable(Outcome(counters, out, log))
