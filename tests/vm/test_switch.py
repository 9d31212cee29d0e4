"""The switch between the tagged hosts and the machine's port: its tags, and it at work in a lab."""

import select
import socket
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.machine_lab import MachineLab
from vm.namespaces import LabError, kill
from vm.switch import MACHINE_TRUNK, TRUNK, tagged, untagged
from vm.topology import FIREWALL, MACHINE_HOSTS, MACHINE_LINKS, TAGGED, Link

ADDRESSES = bytes(range(12))


@given(frame=st.binary(min_size=14, max_size=1514), vlan=st.integers(1, 4094))
def test_a_hosts_frame_comes_back_as_it_was(frame: bytes, vlan: int) -> None:
    if frame[12:14] == b"\x81\x00":
        assert tagged(frame, vlan) is None
        return
    on_trunk = tagged(frame, vlan)
    assert on_trunk is not None
    assert len(on_trunk) == len(frame) + 4
    assert untagged(on_trunk) == (vlan, frame)


@pytest.mark.parametrize(
    ("rest", "vlan"),
    [
        pytest.param("8100 000a 0800", 10, id="plain"),
        pytest.param("8100 e00a 0800", 10, id="with a priority"),
        pytest.param("8100 100a 0800", 10, id="may be discarded"),
        pytest.param("8100 0014 86dd 60", 20, id="another"),
        pytest.param("0800 4500 0000", None, id="untagged"),
        pytest.param("88a8 000a 0800", None, id="another kind of tag"),
        pytest.param("8100 000a 08", None, id="cut off in its type"),
        pytest.param("8100 00", None, id="cut off in its tag"),
        pytest.param("", None, id="addresses only"),
    ],
)
def test_the_vlan_of_a_frame_on_the_trunk(rest: str, vlan: int | None) -> None:
    found = untagged(ADDRESSES + bytes.fromhex(rest))
    assert found == (None if vlan is None else (vlan, ADDRESSES + bytes.fromhex(rest)[4:]))


def test_a_frame_that_a_host_has_tagged_goes_nowhere() -> None:
    assert tagged(ADDRESSES + bytes.fromhex("8100 0014 0800 45"), 10) is None


@pytest.mark.parametrize("frame", [b"", ADDRESSES, ADDRESSES + b"\x08"])
def test_what_is_no_frame_goes_nowhere(frame: bytes) -> None:
    assert tagged(frame, 10) is None
    assert untagged(frame) is None


# ---- in a lab, with us at the machine's end ------------------------------------------------------

OURS = bytes.fromhex("525400000005")
ARP = bytes.fromhex("0806000108000604")


@pytest.fixture(scope="module")
def lab() -> Iterator[MachineLab]:
    """With its links, and no machine."""
    with MachineLab.start(lambda _: None) as lab:
        yield lab


@pytest.fixture
def port(lab: MachineLab) -> Iterator[socket.socket]:
    """The machine's end of the trunk."""
    path = lab.path(MACHINE_TRUNK)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as port:
        port.bind(str(path))
        port.settimeout(10)
        port.connect(str(lab.path(TRUNK)))
        yield port
    path.unlink()


def answered(frame: bytes) -> bytes | None:
    """What a gateway of any address answers: to the question who has it, and to an echo request."""
    sender = frame[6:12]
    if frame[12:20] == ARP and frame[21] == 1:
        who, asker = frame[38:42], frame[28:32]
        return sender + OURS + ARP + b"\x00\x02" + OURS + who + sender + asker
    if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_ICMP and frame[34] == 8:
        checksum = int.from_bytes(frame[36:38]) + 0x0800
        checksum = (checksum & 0xFFFF) + (checksum >> 16)
        addresses = frame[30:34] + frame[26:30]
        icmp = b"\x00\x00" + checksum.to_bytes(2) + frame[38:]
        return sender + OURS + frame[12:26] + addresses + icmp
    return None


def ping_through(lab: MachineLab, port: socket.socket, link: Link, *, vlan: int) -> bool:
    """Whether a tagged host has an answer from us, who answer in that VLAN."""
    command = ["ping", "-n", "-c", "1", "-s", "1472", "-W", "2", link.gateways[0]]
    ping = lab.popen(link.host, command)
    try:
        while ping.poll() is None:
            if not select.select([port], [], [], 0.1)[0]:
                continue
            found = untagged(port.recv(65536))
            assert found
            if found[1][6:12] == hardware_address(lab, link.host):
                assert found[0] == link.vlan
                if answer := answered(found[1]):
                    reply = tagged(answer, vlan)
                    assert reply
                    port.send(reply)
        return ping.returncode == 0
    finally:
        kill(ping)


def hardware_address(lab: MachineLab, host: str) -> bytes:
    said = lab.run(host, ["cat", "/sys/class/net/eth0/address"]).stdout
    return bytes.fromhex(said.strip().replace(":", ""))


@pytest.mark.netns
@pytest.mark.parametrize("link", TAGGED, ids=lambda link: link.host)
def test_a_tagged_host_and_the_machine_meet_in_its_vlan(
    lab: MachineLab, port: socket.socket, link: Link
) -> None:
    assert ping_through(lab, port, link, vlan=link.vlan)


@pytest.mark.netns
@pytest.mark.parametrize("vlan", [0, TAGGED[1].vlan, 4094])
def test_an_answer_in_another_vlan_does_not_arrive(
    lab: MachineLab, port: socket.socket, vlan: int
) -> None:
    lab.run(TAGGED[0].host, ["ip", "neighbour", "flush", "dev", "eth0"])
    assert not ping_through(lab, port, TAGGED[0], vlan=vlan)


@pytest.mark.netns
def test_hosts_around_a_machine_have_their_addresses_before_it_is_there(lab: MachineLab) -> None:
    assert lab.hosts == MACHINE_HOSTS
    for link in MACHINE_LINKS:
        said = lab.run(link.host, ["ip", "-brief", "address", "show", "dev", "eth0"]).stdout
        assert all(address in said for address in link.addresses)
    interfaces = subprocess.run(
        lab.in_namespace(FIREWALL, ["ls", "/sys/class/net"]),
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert interfaces.stdout.split() == ["lo"]


@pytest.mark.netns
def test_what_a_machine_does_not_allow_says_what_does(lab: MachineLab) -> None:
    with pytest.raises(LabError, match="systemd-run"):
        lab.popen(FIREWALL, ["true"])
    with pytest.raises(LabError, match="the machine does not run"):
        lab.run(FIREWALL, ["true"])
    with pytest.raises(LabError, match="the links it was started with"):
        lab.add_host("another", FIREWALL)
    with pytest.raises(LabError, match="whoever started"):
        lab.machine.reboot()
