"""Rates over the last second or more."""

from dataplane.rates import RateMeter, Rates
from native import Stats
from tests.support.packets import Firewall, udp

NS = 1_000_000_000


def stats(packets: int, octets: int, installed: int) -> Stats:
    nothing = Stats._make([0] * len(Stats._fields))
    return nothing._replace(installed=installed, packets=packets, bytes=octets)


def test_rates_of_a_window() -> None:
    meter = RateMeter(stats(1000, 5000, 10), 5 * NS)
    assert meter.rates == Rates(0, 0, 0)
    assert not meter.is_due(6 * NS - 1)
    assert meter.is_due(6 * NS)
    meter.tick(stats(3000, 255_000, 14), 7 * NS)
    assert meter.rates == Rates(packets_per_s=1000, kbps=1000, sessions_per_s=2)
    assert not meter.is_due(7 * NS)
    meter.tick(stats(3000, 255_000, 14), 9 * NS)
    assert meter.rates == Rates(0, 0, 0)


def test_rates_of_an_engine() -> None:
    firewall = Firewall()
    for number in range(10):
        firewall.send(udp(sport=1 + number, payload=bytes(97)), at_s=0.5)
    firewall.tick(0.9)
    assert firewall.engine.rates() == Rates(0, 0, 0)
    firewall.tick(2)
    assert firewall.engine.rates() == Rates(packets_per_s=5, kbps=5, sessions_per_s=5)
    firewall.tick(3)
    assert firewall.engine.rates() == Rates(0, 0, 0)
