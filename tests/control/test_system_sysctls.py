"""Switches of the kernel: set, read back, put back."""

from pathlib import Path

import pytest

from control.system import sysctls
from control.system.errors import KernelError
from control.system.remembered import Remembered
from dataplane.snapshot import Port
from tests.support.private import cable, in_namespace, run

PORTS = [
    Port("ethernet1/1", "eth1", "trust", ("192.0.2.1/24",), True, "default"),
    Port("ethernet1/2", "eth.2", "untrust", (), False, "default"),
]
EVERY = "sysctl -a 2>/dev/null | grep -E '^net.ipv[46].(conf|ip_forward)' | grep -v secret"


SAVED = Path("/run/sysctls.json")


def saved() -> Remembered[dict[str, str]]:
    """As a process that starts finds it."""
    return Remembered(SAVED, dict[str, str], {})


def read(name: str) -> str:
    return run(f"cat /proc/sys/net/{name}").strip()


@in_namespace
def test_set_and_put_back() -> None:
    cable("eth1", "eth.2")
    run("sysctl -qw net.ipv4.conf.all.rp_filter=2; sysctl -qw net.ipv6.conf.eth1.disable_ipv6=1")
    before = run(EVERY)
    sysctls.apply(PORTS, saved())
    for port in PORTS:
        for name, value in (
            ("rp_filter", "0"),
            ("accept_local", "1"),
            ("send_redirects", "0"),
            ("accept_redirects", "0"),
        ):
            assert read(f"ipv4/conf/{port.interface}/{name}") == value
        for name in ("accept_ra", "autoconf", "accept_dad"):
            assert read(f"ipv6/conf/{port.interface}/{name}") == "0"
    assert read("ipv4/conf/all/rp_filter") == "0"
    assert read("ipv6/conf/eth1/disable_ipv6") == "0"
    sysctls.apply(PORTS, saved())  # as a start after a crash does: the first values count
    sysctls.restore(saved())
    assert run(EVERY) == before
    assert not SAVED.exists()
    sysctls.restore(saved())


@in_namespace
def test_interfaces_that_are_gone_have_nothing_to_put_back() -> None:
    cable("eth1", "eth.2")
    sysctls.apply(PORTS, saved())
    run("ip link del eth1")
    sysctls.restore(saved())
    assert read("ipv4/conf/eth.2/accept_local") == "0"


@in_namespace
def test_a_port_answers_for_its_own_addresses_and_those_of_loopback_ports_in_its_network() -> None:
    cable("eth1", "eth.2")
    for loopback, value in (
        ((), "1"),
        (("10.0.0.1/32", "2001:db8::1/128"), "1"),
        (("192.0.2.7/32",), "0"),
    ):
        sysctls.apply(PORTS, saved(), loopback=loopback)
        assert read("ipv4/conf/eth1/arp_ignore") == value
        assert read("ipv4/conf/eth.2/arp_ignore") == "1"
    sysctls.restore(saved())
    assert read("ipv4/conf/eth1/arp_ignore") == "0"


@in_namespace
def test_forwarding() -> None:
    for on, value in ((True, "1"), (False, "0")):
        sysctls.set_forwarding(on)
        assert (read("ipv4/ip_forward"), read("ipv6/conf/all/forwarding")) == (value, value)


@in_namespace
def test_what_cannot_be_written_is_one_line() -> None:
    cable("eth1", "eth.2")
    run("mount -o bind,ro /proc/sys /proc/sys")
    with pytest.raises(KernelError) as error:
        sysctls.apply(PORTS[1:], saved())
    assert str(error.value) in (
        "cannot set net.ipv4.conf.eth/2.accept_local to 1: Read-only file system",
        "cannot set net.ipv4.conf.all.send_redirects to 0: Read-only file system",
    )
    with pytest.raises(KernelError) as error:
        sysctls.set_forwarding(True)
    assert str(error.value) == (
        "cannot set net.ipv4.ip_forward to 1: Read-only file system; "
        "cannot set net.ipv6.conf.all.forwarding to 1: Read-only file system"
    )


@in_namespace
def test_a_missing_interface_is_one_line() -> None:
    with pytest.raises(
        KernelError, match=r"^cannot read net\.ipv4\.conf\.eth1\.rp_filter: No such"
    ):
        sysctls.apply(PORTS[:1], saved())
