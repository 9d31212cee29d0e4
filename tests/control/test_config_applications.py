"""control/config/applications.py: the predefined table, and whose timer holds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config import value_types
from control.config.applications import PREDEFINED, TIMERS, application_timeouts
from control.config.load import load_config
from control.config.tree import Tree
from dataplane import applications
from dataplane.snapshot import ApplicationTimeouts, Timeouts

# timeout, TCP, UDP, as the fact sheet has them (2.3); None is none of its own
SHEET = {
    "ssl": (1800, None, None),
    "web-browsing": (None, None, None),
    "ssh": (None, None, None),
    "ssh-tunnel": (432000, None, None),
    "ftp": (1800, None, None),
    "tftp": (None, 3600, None),
    "dns": (None, None, None),
    "traceroute": (10, None, None),
    "sip": (None, None, 3600),
    "rtp-base": (180, None, None),
    "h.245": (None, 9000, None),
    "unistim": (None, None, 1800),
    "stun": (None, None, 300),
    "ms-rdp": (36000, None, None),
    "citrix": (None, 36000, 36000),
    "rsync": (18000, None, 1800),
    "bgp": (18000, None, None),
    "oracle": (None, 14400, None),
    "sap": (10800, None, None),
    "ms-exchange": (3600, None, None),
    "nfs": (None, 432000, 3600),
    "x11": (432000, None, None),
    "skype": (None, 3600, None),
    "gnutella": (None, 3600, None),
    "perfect-dark": (1200, 3600, None),
    "good-for-enterprise": (None, 300, None),
    "bittorrent": (1200, None, 1200),
    "ike": (None, None, 600),
    "ipsec-esp": (3600, None, None),
    "gre": (1200, None, None),
    "l2tp": (None, None, 300),
    "gtp": (None, None, 600),
    "teredo": (1800, None, None),
    "open-vpn": (3600, None, None),
}


@pytest.mark.parametrize("name", SHEET)
def test_the_sheet(name: str) -> None:
    found = PREDEFINED[name]
    assert (found.timeout, found.tcp_timeout, found.udp_timeout) == SHEET[name]
    assert (found.tcp_half_closed_timeout, found.tcp_time_wait_timeout) == (None, None)


def test_those_with_a_tcp_timeout_are_the_nine() -> None:
    found = {name for name, application in PREDEFINED.items() if application.tcp_timeout}
    assert found == {
        *("citrix", "gnutella", "good-for-enterprise", "h.245", "nfs"),
        *("oracle", "perfect-dark", "skype", "tftp"),
    }


DISCARD = {
    "traceroute": (10, 10, 10),
    "ms-lync-audio": (1200, 1200, 1200),
    "winny": (600, 0, 0),
    "ms-lync-video": (0, 1200, 0),
    "msn-voice": (0, 1800, 0),
    "quake": (0, 300, 0),
}


def test_discard_timers() -> None:
    found = {
        name: (own.tcp.discard, own.udp.discard, own.other.discard)
        for name, own in application_timeouts(Tree()).items()
    }
    assert {name: timers for name, timers in found.items() if any(timers)} == DISCARD


@pytest.mark.parametrize("name", PREDEFINED)
def test_an_entry_could_be_configured(name: str) -> None:
    """Names and ports are such as the schema takes, timers within its ranges."""
    application = PREDEFINED[name]
    assert not value_types.name().problem(name)
    assert [value_types.APPLICATION_PORT.problem(port) for port in application.ports] == [""] * len(
        application.ports
    )
    for timer, (low, high) in TIMERS.items():
        seconds = getattr(application, timer.replace("-", "_"))
        assert seconds is None or low <= seconds <= high


def test_what_shows_by_protocol_is_predefined() -> None:
    found = {applications.at_setup(protocol, icmp, 2) for protocol in range(256) for icmp in (0, 8)}
    assert found - {applications.UNDECIDED} <= set(PREDEFINED)


def timers_of(name: str, commands: str = "") -> ApplicationTimeouts:
    text = "".join(f"set {command}\n" for command in commands.split("; ") if command)
    config = load_config(text.encode(), "test")
    assert config.problems == ()
    return application_timeouts(config.tree).get(name, ApplicationTimeouts())


def same(established: int) -> ApplicationTimeouts:
    return ApplicationTimeouts(*[Timeouts(established)] * 3)


CUSTOM = "application my-app"
OVERRIDE = "shared override application"
ROWS = [
    ("ssl", "", same(1800)),
    ("web-browsing", "", ApplicationTimeouts()),
    # the protocol's own timer goes first
    ("perfect-dark", "", ApplicationTimeouts(Timeouts(3600), Timeouts(1200), Timeouts(1200))),
    ("rsync", "", ApplicationTimeouts(Timeouts(18000), Timeouts(1800), Timeouts(18000))),
    ("tftp", "", ApplicationTimeouts(tcp=Timeouts(3600))),
    # custom applications
    ("my-app", CUSTOM, ApplicationTimeouts()),
    ("my-app", f"{CUSTOM} timeout 5", same(5)),
    (
        "my-app",
        f"{CUSTOM} timeout 5 tcp-timeout 6 udp-timeout 7",
        ApplicationTimeouts(Timeouts(6), Timeouts(7), Timeouts(5)),
    ),
    (
        "my-app",
        f"{CUSTOM} tcp-half-closed-timeout 8 tcp-time-wait-timeout 9",
        ApplicationTimeouts(tcp=Timeouts(0, 8, 9)),
    ),
    # 0 is the global timer
    ("my-app", f"{CUSTOM} timeout 0 tcp-timeout 0 udp-timeout 0", ApplicationTimeouts()),
    (
        "my-app",
        f"{CUSTOM} timeout 5 tcp-timeout 0",
        ApplicationTimeouts(Timeouts(0), Timeouts(5), Timeouts(5)),
    ),
    # changes of predefined ones, one timer at a time
    (
        "ssl",
        f"{OVERRIDE} ssl tcp-timeout 9600",
        ApplicationTimeouts(Timeouts(9600), Timeouts(1800), Timeouts(1800)),
    ),
    ("ssl", f"{OVERRIDE} ssl timeout 0", ApplicationTimeouts()),
    (
        "ssl",
        f"{OVERRIDE} ssl tcp-timeout 0",
        ApplicationTimeouts(Timeouts(0), Timeouts(1800), Timeouts(1800)),
    ),
    (
        "tftp",
        f"{OVERRIDE} tftp timeout 40",
        ApplicationTimeouts(Timeouts(3600), Timeouts(40), Timeouts(40)),
    ),
    (
        "ssh",
        f"{OVERRIDE} ssh tcp-half-closed-timeout 8 tcp-time-wait-timeout 9",
        ApplicationTimeouts(tcp=Timeouts(0, 8, 9)),
    ),
    (
        "traceroute",
        f"{OVERRIDE} traceroute udp-timeout 20",
        ApplicationTimeouts(
            Timeouts(10, discard=10), Timeouts(20, discard=10), Timeouts(10, discard=10)
        ),
    ),
    ("ssh", f"{OVERRIDE} ssl timeout 1", ApplicationTimeouts()),
]


@pytest.mark.parametrize(("name", "commands", "expected"), ROWS)
def test_whose_timer_holds(name: str, commands: str, expected: ApplicationTimeouts) -> None:
    assert timers_of(name, commands) == expected


SECONDS = st.none() | st.sampled_from([0, 1, 2, 3])


@given(SECONDS, SECONDS, SECONDS, SECONDS)
def test_against_the_rule_in_words(
    timeout: int | None, tcp: int | None, udp: int | None, changed: int | None
) -> None:
    words = {"timeout": timeout, "tcp-timeout": tcp, "udp-timeout": udp}
    elements = " ".join(f"{word} {value}" for word, value in words.items() if value is not None)
    found = timers_of("my-app", f"{CUSTOM} {elements}".rstrip())
    global_timer = 0
    for own, used in ((found.tcp, tcp), (found.udp, udp), (found.other, None)):
        if used is not None:
            assert own.established == used
        elif timeout is not None:
            assert own.established == timeout
        else:
            assert own.established == global_timer
    if changed is not None:
        found = timers_of("perfect-dark", f"{OVERRIDE} perfect-dark timeout {changed}")
        assert (found.tcp.established, found.udp.established) == (3600, changed)


def test_only_those_with_timers_of_their_own_are_told() -> None:
    names = set(application_timeouts(Tree()))
    with_timers = {
        name
        for name, application in PREDEFINED.items()
        if re.search(r"timeout=[1-9]", repr(application))
    }
    assert names == with_timers
