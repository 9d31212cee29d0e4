"""Shaping: an HTB for each port that has limits, with a class for each of the eight.

    1:      default 4
    1:100   the port's maximum
    1:1 ... 1:8   guaranteed and at most; what is left goes by priority

Packets find their class by what the hook makes of their mark; those without one are in class 4.
"""

from control.management import QosClassStatus
from control.system.hook import QOS_MAJOR
from control.system.netlink import Netlink
from dataplane.snapshot import Port, Qos, QosClass

DEFAULT_CLASS = 4
_CLASSES = range(1, 9)
_HANDLE = QOS_MAJOR << 16
_ALL = _HANDLE | 0x100
_PRIORITIES = {"real-time": 0, "high": 1, "medium": 2, "low": 3}
_LEAST_BYTES = 1000  # a second, of a class without a guarantee: HTB knows no 0
_MOST_BYTES = 1 << 40  # a second, where no limit was set


def configure(netlink: Netlink, port: Port, ifindex: int) -> None:
    """Brings the port's shaping into the configured state; counters of what stays go on."""
    is_ours = netlink.root_handle(ifindex) == ("htb", _HANDLE)
    if port.qos is None:
        if is_ours:
            netlink.delete_queueing(ifindex)
        return
    if not is_ours:
        netlink.add_htb(ifindex, _HANDLE, DEFAULT_CLASS)
    present = {one.handle: (one.rate, one.ceil, one.priority) for one in netlink.classes(ifindex)}
    most = _bytes(port.qos.max_bps) or _MOST_BYTES
    needed = [(_ALL, _HANDLE, (most, most, 0))]
    needed += [(_HANDLE | one.number, _ALL, _figures(one, most)) for one in _eight(port.qos)]
    for handle, parent, (rate, ceil, priority) in needed:
        # Of the inner class the kernel keeps no priority.
        if present.get(handle, ())[:2] != (rate, ceil) or (
            parent == _ALL and present[handle][2] != priority
        ):
            netlink.set_class(ifindex, handle, parent, rate=rate, ceil=ceil, priority=priority)


def remove(netlink: Netlink, ifindex: int) -> None:
    if netlink.root_handle(ifindex) == ("htb", _HANDLE):
        netlink.delete_queueing(ifindex)


def status(netlink: Netlink, port: Port, ifindex: int) -> list[QosClassStatus]:
    """None where nothing is shaped."""
    if port.qos is None:
        return []
    counted = {one.handle: one for one in netlink.classes(ifindex)}
    return [
        QosClassStatus(
            number=one.number,
            priority=one.priority,
            guaranteed_bps=one.guaranteed_bps,
            max_bps=one.max_bps,
            bytes=found.sent_bytes,
            packets=found.sent_packets,
            drops=found.dropped,
        )
        for one in _eight(port.qos)
        if (found := counted.get(_HANDLE | one.number))
    ]


def _eight(qos: Qos) -> list[QosClass]:
    configured = {one.number: one for one in qos.classes}
    return [configured.get(number, QosClass(number)) for number in _CLASSES]


def _figures(one: QosClass, most: int) -> tuple[int, int, int]:
    ceil = min(_bytes(one.max_bps) or most, most)
    rate = min(max(_bytes(one.guaranteed_bps), _LEAST_BYTES), ceil)
    return rate, ceil, _PRIORITIES[one.priority]


def _bytes(bps: int) -> int:
    return bps // 8
