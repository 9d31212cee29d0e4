"""Real traffic through the firewall: what policy lets pass and denies, and what is told of it."""

import re
from typing import NamedTuple

import pytest

from tests.support.labs import (
    PYTHON,
    Counted,
    Hold,
    await_entry,
    session_ids,
)
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import (
    CLIENT2,
    CLIENT2_6,
    DMZ,
    FIREWALL,
    PING_TARGET,
    PING_TARGET6,
    SERVER,
    SERVER6,
    WEB_NAME,
)
from vm.waiting import wait_until

CLIENT = "192.0.2.10"
CLIENT6 = "2001:db8:1::10"


def curl(port: int, host: str) -> list[str]:
    limits = ["--connect-timeout", "2", "--max-time", "10"]
    return ["curl", "-sf", *limits, "--local-port", str(port), f"http://{host}/"]


def dig(port: int, source: str, *words: str) -> list[str]:
    return ["dig", "+short", "+time=3", "+tries=1", "-b", f"{source}#{port}", WEB_NAME, *words]


def ping(port: int, target: str, *options: str) -> list[str]:
    """The identifier stands for the source port."""
    return ["ping", "-n", "-c", "1", "-W", "1", "-e", str(port), *options, target]


class Passing(NamedTuple):
    command: list[str]
    sport: int
    output: str
    rule: str
    proto: str
    dport: int
    end_reason: str


PASSING = [
    pytest.param(
        Passing(curl(41001, SERVER), 41001, WEB_NAME, "allow-web", "tcp", 80, "tcp-fin"),
        id="HTTP",
    ),
    pytest.param(
        Passing(curl(41002, f"[{SERVER6}]"), 41002, WEB_NAME, "allow-web", "tcp", 80, "tcp-fin"),
        id="HTTP over IPv6",
    ),
    pytest.param(
        Passing(
            dig(41003, CLIENT, f"@{SERVER}"), 41003, SERVER, "allow-dns", "udp", 53, "aged-out"
        ),
        id="DNS",
    ),
    pytest.param(
        Passing(
            dig(41004, CLIENT6, f"@{SERVER6}", "AAAA"),
            41004,
            SERVER6,
            "allow-dns",
            "udp",
            53,
            "aged-out",
        ),
        id="DNS over IPv6",
    ),
    pytest.param(
        Passing(
            dig(41005, CLIENT, f"@{SERVER}", "+tcp"),
            41005,
            SERVER,
            "allow-dns",
            "tcp",
            53,
            "tcp-fin",
        ),
        id="DNS over TCP",
    ),
    pytest.param(
        Passing(ping(4106, PING_TARGET), 4106, " 0% ", "allow-ping", "icmp", 1, "aged-out"),
        id="ping",
    ),
    pytest.param(
        Passing(ping(4107, PING_TARGET6), 4107, " 0% ", "allow-ping", "ipv6-icmp", 1, "aged-out"),
        id="ping over IPv6",
    ),
]


@pytest.mark.parametrize("row", PASSING)
def test_what_a_rule_allows_passes_and_is_logged(
    lab: Lab, firewall: Firewall, row: Passing
) -> None:
    done = lab.run("client", row.command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert row.output in done.stdout
    entry = await_entry(firewall, row.sport, "end")
    assert (entry.rule, entry.action) == (row.rule, "allow")
    assert (entry.from_zone, entry.to_zone) == ("trust", "untrust")
    assert (entry.inbound_if, entry.outbound_if) == ("ethernet1/1", "ethernet1/2")
    assert (entry.proto, entry.dport) == (row.proto, row.dport)
    assert entry.session_end_reason == row.end_reason
    assert entry.bytes_sent > 0
    assert entry.bytes_received > 0


def test_a_rule_that_logs_the_start_does_so_once(lab: Lab, firewall: Firewall) -> None:
    assert lab.run("client", curl(41008, SERVER)).returncode == 0
    start = await_entry(firewall, 41008, "start")
    end = await_entry(firewall, 41008, "end")
    assert (start.rule, start.session_end_reason) == ("allow-web", "n/a")
    assert start.sessionid == end.sessionid


def test_a_megabyte_arrives_whole(lab: Lab, firewall: Firewall) -> None:
    program = (
        "import sys, urllib.request\n"
        "got = urllib.request.urlopen(sys.argv[1], timeout=10).read()\n"
        "sys.exit(got != bytes(range(256)) * 4096)\n"
    )
    for host in (SERVER, f"[{SERVER6}]"):
        done = lab.run("client", [PYTHON, "-c", program, f"http://{host}/download"], timeout=30)
        assert done.returncode == 0, done.stderr


def test_an_open_connection_is_an_active_session(firewall: Firewall, hold: Hold) -> None:
    held = hold(41011)
    assert held.request() == "ok"
    (number,) = session_ids(firewall, source_port=41011)
    listing = firewall.ask("show session all filter source-port 41011")
    assert re.search(rf"^{number} +\S+ +ACTIVE +FLOW +{CLIENT}\[41011\]/trust/6 ", listing, re.M)
    assert re.search(rf"^vsys1 +{SERVER}\[80\]/untrust ", listing, re.M)
    detail = firewall.ask(f"show session id {number}")
    for label, value in (
        ("rule", "allow-web"),
        ("session to be logged at end", "True"),
        ("session in session ager", "True"),
        ("ingress interface", "ethernet1/1"),
        ("egress interface", "ethernet1/2"),
        ("end-reason", "unknown"),
    ):
        assert re.search(rf"^ +{re.escape(label)} +: {value}$", detail, re.M), detail


def test_a_cleared_session_drops_what_still_comes(firewall: Firewall, hold: Hold) -> None:
    held = hold(41012, answer_within_s=1)
    assert held.request() == "ok"
    (number,) = session_ids(firewall, source_port=41012)
    dropped = Counted(firewall, "flow_tcp_non_syn_drop")
    assert firewall.ask(f"clear session id {number}").strip() == f"session {number} cleared"
    assert held.request() == "TimeoutError"
    assert dropped.by_now() >= 1
    assert session_ids(firewall, source_port=41012) == []
    assert await_entry(firewall, 41012, "end").session_end_reason == "unknown"


def test_what_no_rule_allows_between_zones_is_denied(lab: Lab, firewall: Firewall) -> None:
    denied = Counted(firewall, "flow_policy_deny")
    done = lab.run("client", curl(41021, DMZ))
    assert done.returncode == 28  # curl timed out: nothing answered
    assert denied.by_now() == 1  # its repetitions die in the session
    listing = firewall.ask("show session all filter source-port 41021")
    assert re.search(rf"^\d+ +\S+ +DISCARD +FLOW +{CLIENT}\[41021\]/trust/6 ", listing, re.M)
    assert re.search(rf"^vsys1 +{DMZ}\[80\]/dmz ", listing, re.M)
    entry = await_entry(firewall, 41021, "deny", "drop")
    assert (entry.rule, entry.action) == ("interzone-default", "deny")
    assert (entry.from_zone, entry.to_zone) == ("trust", "dmz")
    assert entry.session_end_reason == "policy-deny"


@pytest.mark.parametrize(
    ("host", "command"),
    [
        pytest.param("client", ping(4131, SERVER), id="ping of a host not to be pinged"),
        pytest.param("client", ping(4132, SERVER6), id="the same over IPv6"),
        pytest.param("server", ping(4133, CLIENT), id="ping from outside"),
        pytest.param("server", ping(4134, CLIENT6), id="the same over IPv6, from outside"),
        pytest.param("dmz", ping(4135, SERVER), id="from the DMZ"),
        pytest.param(
            "client", ["curl", "-sf", "--connect-timeout", "1", f"http://{SERVER}:8080/"], id="port"
        ),
    ],
)
def test_what_is_not_allowed_gets_no_answer(
    lab: Lab, firewall: Firewall, host: str, command: list[str]
) -> None:
    denied = Counted(firewall, "flow_policy_deny")
    done = lab.run(host, command)
    assert done.returncode in (1, 28), done.stdout + done.stderr
    assert denied.by_now() == 1


@pytest.mark.parametrize(
    ("sport", "target"), [(4141, CLIENT2), (4142, CLIENT2_6)], ids=["IPv4", "IPv6"]
)
def test_traffic_within_a_zone_passes_without_a_rule_and_unlogged(
    lab: Lab, firewall: Firewall, sport: int, target: str
) -> None:
    pinging = lab.popen("client", ping(sport, target, "-c", "50", "-i", "0.2"))
    try:
        found: list[int] = []

        def is_there() -> bool:
            found[:] = session_ids(firewall, source_port=sport)
            return bool(found)

        wait_until(is_there, "the session", seconds=5)
        detail = firewall.ask(f"show session id {found[0]}")
        assert re.search(r"rule +: intrazone-default$", detail, re.M)
        assert re.search(r"egress interface +: ethernet1/3$", detail, re.M)
    finally:
        kill(pinging)
    done = lab.run("client", ping(sport + 5, target))
    assert done.returncode == 0, done.stdout
    wait_until(
        lambda: not session_ids(firewall, source_port=sport + 5), "the session ends", seconds=10
    )
    with pytest.raises(TimeoutError):
        await_entry(firewall, sport + 5, "start", "end", seconds=0)


@pytest.mark.parametrize("target", [PING_TARGET, PING_TARGET6], ids=["IPv4", "IPv6"])
def test_fragments_arrive_as_fragments(lab: Lab, firewall: Firewall, target: str) -> None:
    received = Counted(firewall, "flow_ipfrag_recv")
    done = lab.run("client", ping(4151, target, "-s", "4000"))
    assert done.returncode == 0
    assert received.by_now() == 6  # 4008 bytes need three packets of 1500, there and back


def test_nothing_on_the_firewall_tracks_connections(lab: Lab, firewall: Firewall) -> None:
    assert lab.run("client", curl(41061, SERVER)).returncode == 0
    count = "/proc/sys/net/netfilter/nf_conntrack_count"  # missing where the kernel has no tracking
    done = lab.run(FIREWALL, ["sh", "-c", f"cat {count} 2>/dev/null || echo 0"])
    assert done.stdout == "0\n"
