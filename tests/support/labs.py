"""Helpers of the tests that run in labs."""

import contextlib
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from vm.firewall import CONFIG, DIRECTORY, Firewall
from vm.namespaces import Lab, kill
from vm.topology import FIREWALL, LINKS, SERVER
from vm.waiting import wait_until

PYTHON = sys.executable
FAMILIES = [pytest.param(4, id="IPv4"), pytest.param(6, id="IPv6")]

# The lab's configuration, but its translation: at both ends tests look for what a host has sent.
UNTRANSLATED = "".join(
    line for line in CONFIG.read_text().splitlines(True) if not line.startswith("set rulebase nat")
)

# Timers that a test can wait for.
SHORT_TIMERS = """
set deviceconfig setting session timeout-tcp-time-wait 1
set deviceconfig setting session timeout-icmp 1
set deviceconfig setting session timeout-udp 1
"""


def firewall_config(path: Path) -> Path:
    path.write_text(UNTRANSLATED + SHORT_TIMERS)
    return path


def forward_plainly(lab: Lab) -> None:
    """Makes the firewall host a router by the kernel's own means, with no firewall running."""
    commands = [
        f"ip address add {gateway}/{address.partition('/')[2]} dev {link.port}"
        for link in LINKS
        for gateway, address in zip(
            link.gateways, (link.addresses[0], link.addresses[-1]), strict=True
        )
    ]
    switches = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    commands += [f"echo 1 >/proc/sys/net/{switch}" for switch in switches]
    done = lab.run(FIREWALL, ["sh", "-ec", "\n".join(commands)])
    assert done.returncode == 0, done.stderr


def namespaces_in_use() -> set[int]:
    """The network namespaces any process lives in."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            found.add(link.stat().st_ino)
    return found


def has_ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


class LogEntry(msgspec.Struct, rename={"from_zone": "from", "to_zone": "to"}, frozen=True):
    """What the tests look at of a traffic log entry."""

    subtype: str
    sessionid: int
    src: str
    dst: str
    sport: int
    dport: int
    proto: str
    from_zone: str
    to_zone: str
    inbound_if: str
    outbound_if: str
    app: str
    rule: str
    action: str
    bytes_sent: int
    bytes_received: int
    pkts_sent: int
    pkts_received: int
    session_end_reason: str
    offloaded: int


def traffic_log(firewall: Firewall) -> Iterator[LogEntry]:
    done = firewall.lab.run(
        FIREWALL, ["cat", str(firewall.traffic_log)]
    )  # as well where that is a machine
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        yield msgspec.json.decode(line, type=LogEntry)


def await_entry(firewall: Firewall, sport: int, *subtypes: str, seconds: float = 15) -> LogEntry:
    """The log entry of one of the kinds for the session with that (unique) source port."""
    found: list[LogEntry] = []

    def is_there() -> bool:
        found.extend(
            entry
            for entry in traffic_log(firewall)
            if entry.sport == sport and entry.subtype in subtypes
        )
        return bool(found)

    wait_until(is_there, f"a log entry {'/'.join(subtypes)} for port {sport}", seconds=seconds)
    return found[0]


def put(firewall: Firewall, name: str, text: str) -> Path:
    """A file of the firewall's host, where it can read it."""
    path = DIRECTORY / name
    program = 'printf %s "$1" >"$2"; chmod 644 "$2"'
    done = firewall.lab.run(FIREWALL, ["sh", "-ec", program, "sh", text, str(path)])
    assert done.returncode == 0, done.stderr
    return path


def commit(firewall: Firewall, text: str) -> str:
    """Makes a whole configuration the running one, by its command line."""
    return firewall.ask(f"load config from {put(firewall, 'new.set', text)}", "commit")


def counters(firewall: Firewall) -> dict[str, int]:
    """Global counters that are not zero."""
    rows = re.findall(r"^(\w+) +(\d+) +\d+ \w+ ", firewall.ask("show counter global"), re.MULTILINE)
    return {name: int(value) for name, value in rows}


class Counted:
    """How far a counter has moved since this was made."""

    def __init__(self, firewall: Firewall, name: str) -> None:
        self._firewall, self._name = firewall, name
        self._before = counters(firewall).get(name, 0)

    def by_now(self) -> int:
        return counters(self._firewall).get(self._name, 0) - self._before


def session_ids(firewall: Firewall, **filters: object) -> list[int]:
    """Sessions that match: session_ids(firewall, source_port=4711)."""
    words = " ".join(f"{name.replace('_', '-')} {value}" for name, value in filters.items())
    listing = firewall.ask(f"show session all filter {words}")
    return [
        int(number) for number in re.findall(r"^(\d+) +\S+ +[A-Z]+ +FLOW", listing, re.MULTILINE)
    ]


def hook_rules(lab: Lab) -> list[str]:
    """Everything in the firewall host's packet filter of both families, without its counts."""
    rules = []
    for tool in ("iptables-save", "ip6tables-save"):
        done = lab.run(FIREWALL, [tool])
        assert done.returncode == 0, done.stderr
        rules += [line for line in done.stdout.splitlines() if not line.startswith(("#", ":"))]
    return rules


_HELD_CONNECTION = """
import socket, sys
port, address, within_s = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
held = socket.create_connection((address, 80), timeout=5, source_address=("", port))
held.settimeout(within_s)
print("connected", flush=True)
for line in sys.stdin:
    try:
        held.sendall(b"GET / HTTP/1.1\\r\\nHost: www.example.test\\r\\n\\r\\n")
        answer = held.recv(65536)
        print("ok" if answer.startswith(b"HTTP/1.1 200") else f"answer {answer[:20]}", flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""


class Held:
    """A client's open connection to the web server, from a source port of its own."""

    def __init__(self, lab: Lab, sport: int, *, answer_within_s: float) -> None:
        program = [PYTHON, "-c", _HELD_CONNECTION, str(sport), SERVER, str(answer_within_s)]
        self._process = lab.popen("client", program, stdin=subprocess.PIPE)
        self._answer_within_s = answer_within_s
        assert self._says() == "connected"

    def _says(self) -> str:
        assert self._process.stdout
        ready = select.select([self._process.stdout], [], [], self._answer_within_s + 10)[0]
        return self._process.stdout.readline().strip() if ready else "silence"

    def request(self) -> str:
        """`ok`, or the name of the error: TimeoutError where no answer came in time."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._says()

    def close(self) -> None:
        kill(self._process)


class Hold(Protocol):
    """Opens connections that the test's end closes (a fixture)."""

    def __call__(self, sport: int, *, answer_within_s: float = 5) -> Held: ...
