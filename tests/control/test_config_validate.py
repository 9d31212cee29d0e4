"""control/config/validate.py and the checks behind it: what only the whole tree shows."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config.errors import Problem
from control.config.load import load_config

BASE = """\
set network interface ethernet ethernet1/1 layer3 ip 198.51.100.2/24
set network interface ethernet ethernet1/2 layer3 ip 10.0.0.1/24
set network virtual-router vr interface [ ethernet1/1 ethernet1/2 ]
set zone outside network layer3 ethernet1/1
set zone inside network layer3 ethernet1/2
set address host ip-netmask 10.0.0.5
set address host6 ip-netmask 2001:db8::5
set address-group hosts static host
set service web protocol tcp port 80
set service-group webs members web
"""
LINE = BASE.count("\n") + 1  # of what a test adds


def problems_of(text: str) -> tuple[Problem, ...]:
    return load_config((BASE + text).encode(), "test").problems


def rule(*changes: str, without: str = "") -> str:
    """A right rule, with changes behind it and without some leaves."""
    leaves = {
        "from": "inside",
        "to": "outside",
        "source": "any",
        "destination": "any",
        "action": "allow",
    }
    for name in without.split():
        del leaves[name]
    words = [f"{name} {value}" for name, value in leaves.items()]
    return " ".join(["set rulebase security rules r", *words, *changes])


def override(*changes: str) -> str:
    """A right application override rule, with changes behind it."""
    words = "from inside to outside source any destination any port 902 application ssl"
    return " ".join(["set rulebase application-override rules o", words, *changes])


OVERRIDE = "rulebase application-override rules o application"
ETHERNET = "set network interface ethernet "
ROUTE = "set network virtual-router vr routing-table ip static-route r "


def test_the_base_is_right() -> None:
    assert problems_of("") == ()
    assert problems_of(rule()) == ()
    assert problems_of(override()) == ()


def test_a_configured_application_is_changed_where_it_is() -> None:
    (problem,) = problems_of("set application a\nset shared override application a timeout 6")
    assert (problem.severity, problem.line) == ("error", LINE + 1)
    assert problem.message == ('"a" is no predefined application; set its timers in application a')


@pytest.mark.parametrize(
    ("text", "path", "fragment"),
    [
        # rules: what they need
        (rule(without="from"), "rulebase security rules r", "missing: from"),
        (rule(without="to source"), "rulebase security rules r", "missing: to, source"),
        (rule(without="destination action"), "rulebase security rules r", "destination, action"),
        (rule("source [ ]", without="source"), "rulebase security rules r", "missing: source"),
        ("set rulebase security rules r", "rulebase security rules r", "missing: from, to, source"),
        # rules: what they name
        (
            rule("from insde"),
            "rulebase security rules r from",
            'zone "insde" does not exist; did you mean inside?',
        ),
        (rule("to x9", without="to"), "rulebase security rules r to", 'zone "x9" does not exist'),
        (
            rule("source hots", without="source"),
            "rulebase security rules r source",
            'address or address group "hots" does not exist; did you mean hosts?',
        ),
        (
            rule("destination 10.0.0.256", without="destination"),
            "rulebase security rules r destination",
            '"10.0.0.256" is not an address or prefix',
        ),
        (
            rule("destination 10.0.0.1/24", without="destination"),
            "rulebase security rules r destination",
            "has host bits set; the network is 10.0.0.0/24, the host 10.0.0.1/32",
        ),
        (
            rule("source 10.0.0.9-10.0.0.1", without="source"),
            "rulebase security rules r source",
            "ends before it starts; write 10.0.0.1-10.0.0.9",
        ),
        (
            rule("source 10.0.0.1-::9", without="source"),
            "rulebase security rules r source",
            "mixes IPv4 and IPv6",
        ),
        (
            rule("source 2001:db8::g", without="source"),
            "rulebase security rules r source",
            "is not an address or prefix",
        ),
        (
            rule("service wbe"),
            "rulebase security rules r service",
            'service or service group "wbe" does not exist; did you mean web?',
        ),
        (
            rule("service service-htp"),
            "rulebase security rules r service",
            "did you mean service-http?",
        ),
        (
            rule("schedule nights"),
            "rulebase security rules r schedule",
            'schedule "nights" does not exist',
        ),
        (
            rule("to multicats", without="to"),
            "rulebase security rules r to",
            'zone "multicats" does not exist; did you mean multicast?',
        ),
        (
            rule("application sls"),
            "rulebase security rules r application",
            'application or application group "sls" does not exist',
        ),
        (
            rule("application ssl service web"),
            "rulebase security rules r service",
            "applications are known by their default ports only",
        ),
        (
            rule("application ssl service any"),
            "rulebase security rules r service",
            "set service application-default, or application any",
        ),
        (
            "set application-group a members a",
            "application-group a",
            "the group is in itself: a > a",
        ),
        (
            "set schedule s schedule-type recurring",
            "schedule s schedule-type recurring",
            "missing: one of daily, weekly",
        ),
        # rules: what contradicts itself
        (
            rule("source hosts"),
            "rulebase security rules r source",
            "any stands alone; remove it or the others",
        ),
        (
            rule("rule-type intrazone"),
            "rulebase security rules r to",
            '"outside" stands in an intrazone rule',
        ),
        (
            rule("negate-source yes"),
            "rulebase security rules r negate-source",
            "with source any the rule never matches",
        ),
        (
            rule("negate-destination yes"),
            "rulebase security rules r negate-destination",
            "with destination any the rule never matches",
        ),
        # objects
        ("set address a", "address a", "missing: one of ip-netmask, ip-range"),
        (
            "set address a ip-netmask 192.0.2.1 ip-range 192.0.2.1-192.0.2.2",
            "address a",
            "ip-range excludes ip-netmask",
        ),
        ("set address-group g", "address-group g", "missing: static"),
        ("set address-group g static [ ]", "address-group g", "missing: static"),
        (
            "set address-group g static 10.0.0.1",
            "address-group g static",
            'address or address group "10.0.0.1" does not exist',
        ),
        ("set address-group g static g", "address-group g", "the group is in itself: g > g"),
        (
            "set address-group host static host6",
            "address-group host",
            '"host" names something in address already (line 6)',
        ),
        ("set service s", "service s", "missing: protocol"),
        ("set service s protocol", "service s protocol", "missing: one of tcp, udp"),
        ("set service s protocol tcp", "service s protocol tcp", "missing: port"),
        (
            "set service s protocol tcp source-port 1",
            "service s protocol tcp",
            "missing: port",
        ),
        (
            "set service s protocol tcp port 1 description x protocol udp port 1",
            "service s protocol",
            "udp excludes tcp",
        ),
        ("set service-group g", "service-group g", "missing: members"),
        ("set service-group g members g", "service-group g", "the group is in itself: g > g"),
        (
            "set service-group g members any",
            "service-group g members",
            'service or service group "any" does not exist',
        ),
        ("set service-group web members service-http", "service-group web", "in service already"),
        (
            "set service s protocol tcp port 1 override yes timeout 0",
            "service s protocol tcp override yes timeout",
            '"0" is not a number from 1 to 604800',
        ),
        (
            "set service s protocol udp port 1 override yes timeout 604801",
            "service s protocol udp override yes timeout",
            '"604801" is not a number from 1 to 604800',
        ),
        (
            "set service s protocol tcp port 1 override no override yes",
            "service s protocol tcp override",
            "yes excludes no (line 11); delete one of them",
        ),
        (
            "set service s protocol udp port 1 override yes halfclose-timeout 5",
            "service s protocol udp override yes",
            'unknown element "halfclose-timeout"; possible are timeout',
        ),
        # applications
        (
            "set application a tcp-timeout 604801",
            "application a tcp-timeout",
            '"604801" is not a number from 0 to 604800',
        ),
        (
            "set application a default port 8443",
            "application a default port",
            '"8443" is not a protocol and ports such as tcp/80 or udp/dynamic',
        ),
        (
            "set application a default port tcp/99999",
            "application a default port",
            '"99999" is not a port or a range from 0 to 65535',
        ),
        (
            "set application a default port tcp/1 default ident-by-ip-protocol 50",
            "application a default",
            "ident-by-ip-protocol excludes port",
        ),
        (
            "set application a default ident-by-icmp-type code 0",
            "application a default ident-by-icmp-type",
            "missing: type",
        ),
        ("set application undecided", "application", '"undecided" has a meaning of its own'),
        ("set application any", "application", '"any" has a meaning of its own'),
        (
            "set application ssl timeout 5",
            "application ssl",
            '"ssl" is a predefined application; set its timers in shared override application ssl, '
            "or choose another name",
        ),
        (
            "set shared override application ssl tcp-half-closed-timeout 0",
            "shared override application ssl tcp-half-closed-timeout",
            '"0" is not a number from 1 to 604800',
        ),
        # override rules
        (
            override("application sll"),
            OVERRIDE,
            'application "sll" does not exist; did you mean ss',
        ),
        (
            override("application zzz"),
            OVERRIDE,
            'application "zzz" does not exist; right is a predefined application such as ssl, or '
            "one that application configures",
        ),
        (override("application any"), OVERRIDE, 'application "any" does not exist'),
        (
            "set rulebase application-override rules o",
            "rulebase application-override rules o",
            "missing: from, to, source, destination, port, application",
        ),
        (
            override("protocol icmp"),
            "rulebase application-override rules o protocol",
            '"icmp" is not tcp or udp',
        ),
        (
            override("port any"),
            "rulebase application-override rules o port",
            '"any" is not a port or a range',
        ),
        (
            override("from elsewhere"),
            "rulebase application-override rules o from",
            'zone "elsewhere" does not exist',
        ),
        (
            override("negate-source yes"),
            "rulebase application-override rules o negate-source",
            "with source any the rule never matches",
        ),
        # settings
        (
            "set deviceconfig setting tcp asymmetric-path pass",
            "deviceconfig setting tcp asymmetric-path",
            '"pass" is not drop or bypass',
        ),
        (
            "set deviceconfig setting session timeout-tcpwait 0",
            "deviceconfig setting session timeout-tcpwait",
            '"0" is not a number from 1 to 600',
        ),
        (
            "set import resource max-sessions many",
            "import resource max-sessions",
            '"many" is not a number from 0 to 10000000',
        ),
        # interfaces
        (
            ETHERNET + "ethernet1/1 layer3 mtu 1500 tap",
            "network interface ethernet ethernet1/1",
            "tap excludes layer3",
        ),
        (
            ETHERNET + "ethernet1/1 layer3 ip 198.51.100.2/25",
            "network interface ethernet ethernet1/1 layer3 ip",
            "198.51.100.2 is an address of ethernet1/1 already (line 1)",
        ),
        (
            ETHERNET + "ethernet1/2 layer3 ip 198.51.100.2/30",
            "network interface ethernet ethernet1/2 layer3 ip",
            "198.51.100.2 is an address of ethernet1/1 already (line 1)",
        ),
        (
            ETHERNET + "ethernet1/2 layer3 ip 198.51.100.9/30",
            "network interface ethernet ethernet1/2 layer3 ip",
            "198.51.100.9/30 overlaps 198.51.100.2/24 of ethernet1/1 (line 1)",
        ),
        (
            ETHERNET + "ethernet1/2 layer3 ip 198.51.0.9/16",
            "network interface ethernet ethernet1/2 layer3 ip",
            "198.51.0.9/16 overlaps 198.51.100.2/24 of ethernet1/1 (line 1)",
        ),
        (
            ETHERNET + "ethernet1/1 layer3 mtu 1279 ipv6 enabled yes",
            "network interface ethernet ethernet1/1 layer3 mtu",
            "1279 is too small for IPv6",
        ),
        # membership
        (
            "set zone inside network layer3 ethernet1/1",
            "zone inside network layer3",
            '"ethernet1/1" is in zone "outside" already (line 4)',
        ),
        (
            "set network virtual-router w interface ethernet1/1",
            "network virtual-router w interface",
            '"ethernet1/1" is in virtual router "vr" already (line 3)',
        ),
        (
            "set zone inside network layer3 ethernet1/9",
            "zone inside network layer3",
            'interface "ethernet1/9" does not exist',
        ),
        (
            "set import network interface ethernet1/9",
            "import network interface",
            'interface "ethernet1/9" does not exist',
        ),
        (
            "set import network virtual-router vrr",
            "import network virtual-router",
            'virtual router "vrr" does not exist; did you mean vr?',
        ),
        # routes
        (
            ROUTE + "nexthop ip-address 10.0.0.2",
            ROUTE[4:].strip(),
            "missing: destination",
        ),
        (
            ROUTE + "destination 0.0.0.0/0",
            ROUTE[4:].strip(),
            "neither nexthop nor interface",
        ),
        (
            ROUTE + "destination 0.0.0.0/0 nexthop",
            ROUTE[4:] + "nexthop",
            "missing: one of ip-address, discard",
        ),
        (
            ROUTE + "destination 0.0.0.0/0 nexthop discard nexthop ip-address 10.0.0.2",
            ROUTE[4:] + "nexthop",
            "ip-address excludes discard",
        ),
        (
            ROUTE + "destination 0.0.0.0/0 nexthop ip-address 192.0.2.1",
            ROUTE[4:].strip(),
            "next hop 192.0.2.1 is on no network of the router's interfaces",
        ),
        (
            ROUTE + "destination 0.0.0.0/0 nexthop ip-address 10.0.0.1",
            ROUTE[4:].strip(),
            "next hop 10.0.0.1 is the firewall's own address on ethernet1/2",
        ),
        (
            ROUTE + "destination 0.0.0.0/0 interface ethernet1/9",
            ROUTE[4:] + "interface",
            'interface "ethernet1/9" does not exist',
        ),
        (
            ROUTE + "destination 0.0.0.0/0 interface tunnel.1",
            ROUTE[4:] + "interface",
            'interface "tunnel.1" does not exist',
        ),
    ],
)
def test_one_error(text: str, path: str, fragment: str) -> None:
    found = [problem for problem in problems_of(text) if problem.severity == "error"]
    assert [(problem.line, problem.path) for problem in found] == [(LINE, path)]
    assert fragment in found[0].message


@pytest.mark.parametrize(
    ("text", "line", "path", "fragment"),
    [
        ("set rulebase sdwan rules n from x", LINE, "rulebase sdwan", "not enforced, kept without"),
        ("set tag a\nset tag b", LINE, "tag", "kept without effect (2 commands)"),
        (
            rule("log-setting default"),
            LINE,
            "rulebase security rules r log-setting",
            "not enforced",
        ),
        (
            "set deviceconfig system secure-proxy-password hunter2",
            LINE,
            "deviceconfig system secure-proxy-password",
            "not enforced",
        ),
        (
            "set shared override application facebok-base timeout 5",
            LINE,
            "shared override application facebok-base",
            'not enforced: no predefined application is called "facebok-base"; '
            "did you mean facebook-base?",
        ),
        ("set application a category b", LINE, "application a category", "not enforced"),
        (
            "set deviceconfig setting tcp urgent-data clear",
            LINE,
            "deviceconfig setting tcp urgent-data",
            "not enforced",
        ),
        (
            override(
                "negate-source no source 10.0.0.0/8 destination 2001:db8::/32",
            ).replace("source any destination any ", ""),
            LINE,
            "rulebase application-override rules o",
            "never matches: the sources are IPv4, the destinations IPv6",
        ),
        (
            "set zone inside network layer3 vlan.100",
            LINE,
            "zone inside network layer3",
            'not enforced: "vlan.100" is not a port',
        ),
        (
            "set import network interface [ tunnel loopback vlan.7 ae1.5 ]",
            LINE,
            "import network interface",
            'not enforced: "ae1.5" is not a port',
        ),
        (
            ETHERNET + "ethernet1/3 layer3\nset zone inside network layer3 ethernet1/3",
            LINE,
            "network interface ethernet ethernet1/3",
            "is in no virtual router",
        ),
        (
            ETHERNET + "ethernet1/3 layer3\nset network virtual-router vr interface ethernet1/3",
            LINE,
            "network interface ethernet ethernet1/3",
            "is in no zone",
        ),
        (
            ETHERNET + "ethernet1/1 layer3 ipv6 address 2001:db8::1/64",
            LINE,
            "network interface ethernet ethernet1/1 layer3 ipv6 address",
            "2001:db8::1/64 is not used: IPv6 is not enabled here",
        ),
        (
            rule("source hosts destination host6", without="source destination"),
            LINE,
            "rulebase security rules r",
            "never matches: the sources are IPv4, the destinations IPv6",
        ),
        (
            rule("application [ ssl rpc ]"),
            LINE,
            "rulebase security rules r application",
            'the default ports of "rpc" are not known: the rule matches every port',
        ),
    ],
)
def test_a_warning(text: str, line: int, path: str, fragment: str) -> None:
    problems = problems_of(text)
    assert all(problem.severity == "warning" for problem in problems)
    assert (line, path) == (problems[0].line, problems[0].path)
    assert fragment in problems[0].message
    assert "hunter2" not in problems[0].message


@pytest.mark.parametrize(
    "text",
    [
        rule("rule-type intrazone", without="to"),
        rule("rule-type intrazone to any", without="to"),
        rule("source [ host hosts 10.0.0.0/8 10.0.0.1-10.0.0.9 ::1 ]", without="source"),
        rule("source [ host host6 ] destination host6", without="source destination"),
        rule("source host destination host6 negate-source yes", without="source destination"),
        rule("service [ web webs service-http service-https ]"),
        rule("service application-default"),
        rule("application any source-user any category any source-hip any"),
        "set address 10.0.0.7 ip-netmask 10.0.0.7\n" + rule("source 10.0.0.7", without="source"),
        "set service service-http protocol tcp port 8000\n" + rule("service service-http"),
        "set service s protocol tcp port 0,1-65535 override no",
        ETHERNET + "ethernet1/1 layer3 ip 198.51.100.3/32",
        ETHERNET + "ethernet1/1 layer3 ip 198.51.100.3/24",
        ETHERNET
        + "ethernet1/1 layer3 ipv6 enabled yes address fe80::1/64\n"
        + ETHERNET
        + "ethernet1/2 layer3 ipv6 enabled yes address fe80::1/64",
        ROUTE + "destination 0.0.0.0/0 nexthop ip-address 192.0.2.1 interface ethernet1/1",
        ROUTE + "destination 192.0.2.0/24 interface ethernet1/1 route-table unicast",
        ROUTE + "destination 192.0.2.0/24 nexthop discard",
        "set rulebase default-security-rules rules interzone-default action allow",
        "set import network interface ethernet1/1 virtual-router vr",
        "set application a",
        "set application a timeout 0 tcp-timeout 604800 udp-timeout 1 tcp-half-closed-timeout 1 "
        "tcp-time-wait-timeout 600 default port [ tcp/80,443 udp/dynamic ]",
        "set application a default ident-by-icmp-type type 8 code 0",
        "set application a\n" + override("application a"),
        override("application h.323 protocol udp port 1-65535 disabled yes tag t description d"),
        "set shared override application ssl timeout 0 tcp-timeout 9600",
        "set service s protocol tcp port 1 override yes timeout 1 halfclose-timeout 604800 "
        "timewait-timeout 600",
        "set service s protocol udp port 1 override yes",
        "set deviceconfig setting tcp asymmetric-path bypass allow-challenge-ack yes",
        "set import resource max-sessions 1000",
    ],
)
def test_what_is_right(text: str) -> None:
    assert problems_of(text) == ()


def test_a_static_route_twice() -> None:
    text = (
        ROUTE + "destination 192.0.2.0/24 nexthop discard\n"
        "set network virtual-router vr routing-table ip static-route s destination 192.0.2.0/24 "
        "nexthop ip-address 10.0.0.2 "
    )
    assert problems_of(text + "metric 11") == ()
    (problem,) = problems_of(text)
    assert problem.line == LINE + 1
    assert f'192.0.2.0/24 with metric 10 is route "r" already (line {LINE})' in problem.message


def test_a_route_by_the_interface_of_another_router() -> None:
    text = (
        ETHERNET + "ethernet1/3 layer3\nset zone inside network layer3 ethernet1/3\n"
        "set network virtual-router w interface ethernet1/3\n"
        + ROUTE
        + "destination 192.0.2.0/24 interface ethernet1/3"
    )
    errors = [problem for problem in problems_of(text) if problem.severity == "error"]
    assert [problem.line for problem in errors] == [LINE + 3]
    assert 'interface "ethernet1/3" is not in virtual router "vr"' in errors[0].message


@pytest.mark.parametrize(
    "owner", ["zone inside network layer3", "network virtual-router vr interface"]
)
def test_an_interface_that_is_not_layer_3(owner: str) -> None:
    text = f"{ETHERNET}ethernet1/3 link-state up\nset {owner} ethernet1/3"
    errors = [problem for problem in problems_of(text) if problem.severity == "error"]
    assert [(problem.line, problem.path) for problem in errors] == [(LINE + 1, owner)]
    assert '"ethernet1/3" is not a layer3 interface; configure set network' in errors[0].message


def test_members_that_exclude_each_other_on_different_lines() -> None:
    (problem,) = problems_of(
        rule(without="source") + " source any\n" + "set rulebase security rules r source host"
    )
    assert problem.line == LINE + 1
    assert problem.path == "rulebase security rules r source"


def test_too_many_ports() -> None:
    ports = [f"ethernet{1 + n // 100}/{1 + n % 100}" for n in range(1001)]
    text = "\n".join(f"set network interface ethernet {port} tap" for port in ports)
    (problem,) = load_config(text.encode(), "test").errors
    assert problem.line == 1001
    assert "1001 interfaces are configured; at most 1000" in problem.message


def test_every_circle_is_found() -> None:
    text = (
        "set address-group a static b\nset address-group b static [ c host ]\n"
        "set address-group c static a\nset address-group d static [ e hosts ]\n"
        "set address-group e static d\nset address-group f static [ a e ]\n"
    )
    problems = problems_of(text)
    assert sorted(
        problem.message.split(": ")[1].split(";")[0].count(">") for problem in problems
    ) == [
        2,
        3,
    ]
    members = {problem.path.rsplit(" ", 1)[1] for problem in problems}
    assert len(members & set("abc")) == 1
    assert len(members & set("de")) == 1


def test_a_wide_circle_is_one_line() -> None:
    groups = [f"set address-group g{n} static g{(n + 1) % 5000}" for n in range(5000)]
    (problem,) = problems_of("\n".join(groups))
    assert problem.line == LINE + 4999
    assert problem.message.startswith("the group is in itself: g0 > g1 > g2 > g3 > ")
    assert problem.message.endswith("> ... > g4999 > g0; remove one of these members")


def test_thousands_of_names_that_do_not_exist() -> None:
    groups = [f"set address-group g{n} static h{n}" for n in range(3000)]
    assert len(problems_of("\n".join(groups))) == 3000


def test_groups_nested_ten_thousand_deep() -> None:
    groups = [f"set address-group g{n} static g{n + 1}" for n in range(10_000)]
    text = "\n".join(
        [*groups, "set address-group g10000 static host", rule("source g0", without="source")]
    )
    assert problems_of(text) == ()


ADDRESSES = st.tuples(
    st.sampled_from(["192.0.2", "198.51.100"]), st.integers(1, 254), st.integers(24, 32)
)


@given(st.lists(st.tuples(st.integers(1, 3), ADDRESSES), max_size=8, unique=True))
def test_overlaps_against_comparing_all_pairs(
    placed: list[tuple[int, tuple[str, int, int]]],
) -> None:
    interfaces = []
    for port, (net, host, length) in placed:
        interface = ipaddress.IPv4Interface(f"{net}.{host}/{length}")
        network = interface.network
        if length > 30 or interface.ip not in (network[0], network[-1]):
            interfaces.append((port, interface))
    commands = [
        f"set network interface ethernet ethernet1/{port} layer3 ip {interface}"
        for port, interface in interfaces
    ]
    config = load_config("\n".join(commands).encode(), "test")
    expected = any(
        first[1].ip == second[1].ip
        or (first[0] != second[0] and first[1].network.overlaps(second[1].network))
        for index, first in enumerate(interfaces)
        for second in interfaces[index + 1 :]
        if first != second
    )
    assert bool(config.errors) == expected
