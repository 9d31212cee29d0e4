"""The management process from start to end, with a dataplane that touches no packet.

eth1 [ firewall ] eth2          eth9 is not a port
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.private import ROOT, cable, in_namespace, run

STATE = Path("/run/state")
CONFIG = Path("/run/firewall.set")
JOURNAL = Path("/run/journal")

PROGRAM = """
import functools, os, sys
from pathlib import Path
from control import daemon
from control.daemon import Options, run
if patience_s := os.environ.get("PATIENCE_S"):
    client = daemon.DataplaneClient
    daemon.DataplaneClient = functools.partial(client, answer_s=float(patience_s))
fake = (sys.executable, "-m", "tests.support.fake_dataplane")
ports = dict(port.split("=") for port in sys.argv[3:])
sys.exit(run(Options(config=Path(sys.argv[1]), ports=ports, directory=Path(sys.argv[2]),
    logs=Path(sys.argv[2]), persist=bool(os.environ.get("PERSIST")),
    io="netfilterqueue", queue=6, platform="pa-7000", dataplane=fake)))
"""

LINES = """\
set deviceconfig system hostname fw1
set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/24
set network interface ethernet ethernet1/2 layer3 ip 198.51.100.1/24
set network virtual-router default interface [ ethernet1/1 ethernet1/2 ]
set network virtual-router default routing-table ip static-route far destination 10.0.0.0/8
set network virtual-router default routing-table ip static-route far nexthop ip-address 198.51.100.9
set zone trust network layer3 ethernet1/1
set zone untrust network layer3 ethernet1/2
"""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.perf_counter() + 20
    while not condition():
        assert time.perf_counter() < deadline, f"never: {what}"
        time.sleep(0.01)


class Firewall:
    """A management process; what it says is kept in files."""

    def __init__(
        self,
        *ports: str,
        state: Path = STATE,
        fake: str = "",
        patience_s: str = "",
        persist: bool = False,
        manager: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self._out, self._err = Path(f"{state}.out"), Path(f"{state}.err")
        environment = {
            **os.environ,
            "FAKE_JOURNAL": str(JOURNAL),
            "FAKE_DATAPLANE": fake,
            "PATIENCE_S": patience_s,  # with a dataplane that does not answer
            "PERSIST": "yes" if persist else "",
            "NOTIFY_SOCKET": str(manager or ""),
        }
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-W", "error", "-c", PROGRAM, CONFIG, state, *ports],
                cwd=ROOT,
                stdout=out,
                stderr=err,
                env=environment,
            )

    def out(self) -> str:
        return self._out.read_text()

    def err(self) -> str:
        return self._err.read_text()

    def ready(self) -> "Firewall":
        wait_until(lambda: "ready: " in self.out() or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, self.err()
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


def refused(
    *ports: str, state: Path = STATE, fake: str = "", manager: Path | None = None
) -> list[str]:
    """What a firewall says that does not start."""
    firewall = Firewall(*ports, state=state, fake=fake, manager=manager)
    assert firewall.process.wait(20) == 2, firewall.err()
    assert "ready" not in firewall.out()
    return firewall.err().splitlines()


def setup() -> None:
    cable("eth1", "eth2", "eth9")
    CONFIG.write_text(LINES)


def journal() -> list[dict[str, object]]:
    entries = [json.loads(line) for line in JOURNAL.read_text().splitlines()]
    return [entry for entry in entries if entry.get("request") != "GetStatus"]


def dataplanes() -> list[int]:
    """Every one that was started, the last one last."""
    return [int(str(entry["start"])) for entry in journal() if "start" in entry]


def told(pid: int) -> list[tuple[object, list[str]]]:
    """What that dataplane was told, up to the start of the next."""
    result: list[tuple[object, list[str]]] = []
    is_its = False
    for entry in journal():
        if "start" in entry:
            is_its = entry["start"] == pid
        elif is_its and isinstance(entry["detail"], list):
            result.append((entry["request"], entry["detail"]))
    return result


def is_open() -> bool:
    """Forwarding, and only through the queue."""
    switches = run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding")
    hooked = [
        f"-A SIXTUPLE -i {name} -j NFQUEUE --queue-num 6" in run(f"{tool}-save")
        for name in ("eth1", "eth2")
        for tool in ("iptables", "ip6tables")
    ]
    return switches == "1\n1\n" and all(hooked)


def is_closed() -> bool:
    switches = run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding")
    return switches == "0\n0\n" and "SIXTUPLE" not in run("iptables-save; ip6tables-save")


def network() -> str:
    """Addresses, routes and rules."""
    addresses = "ip addr show dev eth1; ip addr show dev eth2"
    return run(f"{addresses}; ip route; ip -6 route; (iptables-save; ip6tables-save) | grep ^-A")


def is_alive(pid: int) -> bool:
    """Zombies of a management process that was killed do not count."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@in_namespace
def test_start_and_stop(number: str) -> None:
    setup()
    firewall = Firewall().ready()
    (line,) = firewall.out().splitlines()
    (pid,) = dataplanes()
    assert line == f"ready: 2 ports, queue 6, dataplane {pid} started, state in {STATE}"
    assert is_open()
    assert "10.0.0.0/8 via 198.51.100.9 dev eth2 proto 66" in run("ip route")
    assert (STATE / "cli.sock").is_socket()
    assert STATE.stat().st_mode & 0o777 == 0o700
    (configure, paths, routes) = told(pid)[:3]
    assert configure == ("Configure", ["ethernet1/1", "ethernet1/2"])
    assert (paths, routes[0]) == (("SetPaths", []), "SetRoutes")
    wait_until(lambda: "10.0.0.0/8" in told(pid)[-1][1], "the static route is told")
    assert firewall.end(signal.Signals[number]) == 0
    assert firewall.err() == ""
    assert is_closed()
    assert not is_alive(pid)
    assert not (STATE / "cli.sock").exists()
    assert Firewall().ready().end() == 0


@in_namespace
def test_an_administrator_is_answered() -> None:
    setup()
    firewall = Firewall().ready()
    run("ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth1")

    def ask(*commands: str) -> str:
        asked = " ".join(f"-c '{command}'" for command in commands)
        cli = f"{sys.executable} -m control.main cli --socket {STATE}/cli.sock"
        return run(f"cd {ROOT}; {cli} {asked}")

    shown = ask("show system info", "show interface all", "show routing route")
    assert "hostname: fw1" in shown
    assert "platform-family: pa-7000" in shown
    assert "198.51.100.1/24" in shown
    assert "10.0.0.0/8" in shown
    wait_until(lambda: "02:00:00:00:00:09" in ask("show arp all"), "the neighbour is listed")
    assert firewall.end() == 0


@in_namespace
def test_routes_are_told_as_they_change() -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    run("ip route add 203.0.113.0/24 via 192.0.2.9")
    wait_until(lambda: "203.0.113.0/24" in told(pid)[-1][1], "the route is told")
    run("ip route del 203.0.113.0/24")
    wait_until(lambda: "203.0.113.0/24" not in told(pid)[-1][1], "the route is gone")
    assert firewall.end() == 0


@in_namespace
def test_paths_are_told_with_the_addresses_of_their_next_hops() -> None:
    setup()
    rule = "set rulebase pbf rules away"
    CONFIG.write_text(
        LINES
        + f"{rule} from zone trust\n{rule} source any\n{rule} destination any\n"
        + f"{rule} action forward egress-interface ethernet1/2\n"
        + f"{rule} action forward nexthop ip-address 198.51.100.77\n"
    )
    firewall = Firewall().ready()
    (pid,) = dataplanes()

    def is_told(*paths: str) -> bool:
        asked = [detail for request, detail in told(pid) if request == "SetPaths"]
        return bool(asked) and asked[-1] == [*paths]

    path = "ethernet1/2 198.51.100.77"
    wait_until(lambda: is_told(f"{path} "), "the path is told")
    assert "198.51.100.77 dev eth2" in run("ip route show table 1001")
    run("ip neigh replace 198.51.100.77 lladdr 02:00:00:00:00:77 dev eth2")
    wait_until(lambda: is_told(f"{path} 02:00:00:00:00:77"), "its next hop's address is told")
    firewall.process.kill()
    firewall.process.wait()
    before = len(told(pid))
    firewall = Firewall().ready()  # the dataplane is taken over
    again = [detail for request, detail in told(pid)[before:] if request == "SetPaths"]
    assert again
    assert all(len(detail) == 1 and detail[0].startswith(path) for detail in again)
    CONFIG.write_text(LINES)
    firewall.process.send_signal(signal.SIGHUP)
    wait_until(lambda: f"{CONFIG} loaded" in firewall.err(), "loaded")
    wait_until(lambda: is_told(f"{path} 02:00:00:00:00:77"), "it stays: sessions may have it")
    assert firewall.end() == 0
    assert run("ip route show table all | grep 'table 1001' || true") == ""


@in_namespace
def test_a_dataplane_that_dies_is_replaced_and_told_everything() -> None:
    setup()
    firewall = Firewall().ready()
    (first,) = dataplanes()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(dataplanes()) == 2 and len(told(dataplanes()[1])) >= 3, "replaced")
    (_, second) = dataplanes()
    configure, paths, routes, *_ = told(second)  # routes may come and go
    assert paths == ("SetPaths", [])
    assert configure == ("Configure", ["ethernet1/1", "ethernet1/2"])
    assert routes[0] == "SetRoutes"
    assert "10.0.0.0/8" in routes[1]
    assert is_open()
    assert firewall.end() == 0
    assert len(firewall.err().splitlines()) == 2, firewall.err()
    first_line, second_line = firewall.err().splitlines()
    assert first_line.endswith(f"ERROR dataplane {first} killed by SIGKILL; starting it again"), (
        first_line
    )
    assert second_line.endswith(f"WARNING dataplane runs again, pid {second}"), second_line


@in_namespace
def test_after_a_crash_everything_goes_on_and_is_taken_over() -> None:
    setup()
    crashed = Firewall().ready()
    (pid,) = dataplanes()
    crashed.process.kill()
    crashed.process.wait()
    assert is_alive(pid)
    assert is_open()
    before = network()
    firewall = Firewall().ready()
    assert f"dataplane {pid} taken over" in firewall.out()
    assert dataplanes() == [pid]
    assert network() == before
    assert firewall.end() == 0
    assert is_closed()
    assert not is_alive(pid)


@in_namespace
def test_after_both_crashed_the_hook_holds_and_the_next_start_is_clean() -> None:
    setup()
    crashed = Firewall().ready()
    (pid,) = dataplanes()
    crashed.process.kill()
    os.kill(pid, signal.SIGKILL)
    crashed.process.wait()
    assert is_open()
    firewall = Firewall().ready()
    assert "started" in firewall.out()
    assert is_open()
    assert firewall.end() == 0
    assert is_closed()


@in_namespace
def test_reload() -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    CONFIG.write_text(LINES.replace("192.0.2.1", "192.0.2.2").replace("10.0.0.0/8", "10.0.0.0/9"))
    firewall.process.send_signal(signal.SIGHUP)
    wait_until(lambda: f"{CONFIG} loaded" in firewall.err(), "loaded")
    assert "192.0.2.2/24" in run("ip addr show dev eth1")
    assert "192.0.2.1/24" not in run("ip addr show dev eth1")
    wait_until(lambda: "10.0.0.0/9" in run("ip route"), "the new route is set")
    assert [request for request, _ in told(pid)].count("Configure") == 2
    wait_until(lambda: "10.0.0.0/9" in told(pid)[-1][1], "the new route is told")
    assert firewall.end() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("set network interface ethernet ethernet1/1 layer3 ip 300.0.0.1/24", "300.0.0.1/24"),
        ("set zone trust nonsense", f"{CONFIG}:9: error: zone trust: unknown element"),
        (
            "set network interface ethernet ethernet1/7 layer3 ip 203.0.113.1/24\n"
            "set zone trust network layer3 ethernet1/7",
            "ethernet1/7: there is no interface eth7",
        ),
    ],
)
@in_namespace
def test_a_reload_with_errors_changes_nothing(change: str, message: str) -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    before = network()
    CONFIG.write_text(f"{LINES}{change}\n")
    firewall.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old configuration stays" in firewall.err(), "refused")
    assert message in firewall.err()
    assert network() == before
    assert [request for request, _ in told(pid)].count("Configure") == 1
    assert is_open()
    assert firewall.end() == 0


@in_namespace
def test_a_reload_the_kernel_does_not_take_goes_back() -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    before = network()
    run("mount -o bind,ro /proc/sys /proc/sys")
    third = "set network interface ethernet ethernet1/9 layer3 ip 203.0.113.1/24\n"
    CONFIG.write_text(LINES + third + "set zone trust network layer3 ethernet1/9\n")
    firewall.process.send_signal(signal.SIGHUP)
    configured = [["ethernet1/1", "ethernet1/2"], ["ethernet1/1", "ethernet1/2", "ethernet1/9"]]
    configured.append(configured[0])
    wait_until(
        lambda: [ports for request, ports in told(pid) if request == "Configure"] == configured,
        "the dataplane has the old configuration again",
    )
    wait_until(lambda: network() == before, "the kernel has the old configuration again")
    assert "cannot set net.ipv4.conf.eth9." in firewall.err()
    assert "the old configuration stays" in firewall.err()
    run("umount /proc/sys")
    assert firewall.end() == 0


@in_namespace
def test_a_configuration_that_comes_late_is_taken_back() -> None:
    """The request of a reload that was given up may still be waiting for a dataplane that hangs."""
    setup()
    firewall = Firewall(patience_s="1").ready()
    (pid,) = dataplanes()
    os.kill(pid, signal.SIGSTOP)
    third = "set network interface ethernet ethernet1/9 layer3 ip 203.0.113.1/24\n"
    CONFIG.write_text(LINES + third + "set zone trust network layer3 ethernet1/9\n")
    firewall.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old configuration stays" in firewall.err(), "given up")
    os.kill(pid, signal.SIGCONT)
    old, late = ["ethernet1/1", "ethernet1/2"], ["ethernet1/1", "ethernet1/2", "ethernet1/9"]

    def ends_with_the_old() -> bool:
        configured = [ports for request, ports in told(pid) if request == "Configure"]
        return late in configured and configured[-1] == old and told(pid)[-1][0] == "SetRoutes"

    wait_until(ends_with_the_old, "the dataplane has the old configuration and the routes again")
    assert firewall.end() == 0


@in_namespace
def test_routes_that_come_late_are_told_anew() -> None:
    run("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1")  # no route but ours comes or goes
    setup()
    firewall = Firewall(patience_s="1").ready()
    (pid,) = dataplanes()
    wait_until(lambda: "10.0.0.0/8" in told(pid)[-1][1], "the static route is told")
    os.kill(pid, signal.SIGSTOP)
    run("ip route add 203.0.113.0/24 via 192.0.2.9")
    wait_until(lambda: "the dataplane does not answer" in firewall.err(), "given up")
    run("ip route del 203.0.113.0/24")
    os.kill(pid, signal.SIGCONT)

    def ends_without_it() -> bool:
        routes = [routes for request, routes in told(pid) if request == "SetRoutes"]
        late = any("203.0.113.0/24" in one for one in routes)
        return late and "203.0.113.0/24" not in routes[-1]

    wait_until(ends_without_it, "the route is gone from the dataplane")
    assert firewall.end() == 0


@in_namespace
def test_a_link_that_vanishes_and_comes_back_is_reported() -> None:
    setup()
    firewall = Firewall().ready()
    run("ip link del eth2")
    wait_until(lambda: "WARNING ethernet1/2 (eth2) is gone\n" in firewall.err(), "gone")
    cable("eth2")
    wait_until(lambda: "WARNING ethernet1/2 (eth2) is back\n" in firewall.err(), "back")
    wait_until(lambda: "198.51.100.1/24" in run("ip addr show dev eth2"), "configured")
    CONFIG.write_text(
        "set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/24\n"
        "set zone trust network layer3 ethernet1/1\n"
    )
    firewall.process.send_signal(signal.SIGHUP)
    wait_until(lambda: f"{CONFIG} loaded" in firewall.err(), "reloaded")
    assert firewall.end() == 0
    assert firewall.err().count("(eth2)") == 2, firewall.err()  # a port that was given up is none
    assert "(eth1)" not in firewall.err()


@in_namespace
def test_without_its_state_directory_it_still_cleans_up() -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    run(f"rm -rf {STATE}")
    firewall.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old configuration stays" in firewall.err(), "refused")
    assert f"{STATE}/interfaces.json: No such file or directory" in firewall.err()
    assert is_open()
    assert firewall.end() == 0
    assert is_closed()
    assert "inet" not in run("ip addr show scope global")
    assert run("ip route") == ""
    assert run("cat /proc/sys/net/ipv4/conf/eth1/accept_local") == "0\n"
    assert not is_alive(pid)


@in_namespace
def test_without_its_state_directory_a_dataplane_that_died_is_reported() -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    run(f"rm -rf {STATE}")
    os.kill(pid, signal.SIGKILL)
    message = f"cannot start the dataplane: {STATE}/dataplane.json: No such file or directory"
    wait_until(lambda: message in firewall.err(), "reported")
    assert firewall.end() == 0
    assert "Traceback" not in firewall.err()
    assert is_closed()


# ---- starts that are refused ---------------------------------------------------------------------


@in_namespace
def test_everything_wrong_with_the_configuration_is_said() -> None:
    setup()
    CONFIG.write_text(
        LINES
        + "set network interface ethernet ethernet1/1 layer3 ip 300.0.0.1/24\n"
        + "set rulebase security rules r action perhaps\n"
    )
    lines = refused()
    assert any(f"{CONFIG}:9" in line for line in lines), lines
    assert any(f"{CONFIG}:10" in line for line in lines), lines
    CONFIG.unlink()
    assert refused() == [f"{CONFIG}: cannot be read: No such file or directory"]
    assert not STATE.exists()


@in_namespace
def test_a_missing_interface() -> None:
    setup()
    run("ip link del eth2")
    assert refused() == [
        "ethernet1/2: there is no interface eth2; "
        "name the one behind it with --port ethernet1/2=IFNAME"
    ]
    assert not STATE.exists()
    assert Firewall("ethernet1/2=eth9").ready().end() == 0


@in_namespace
def test_the_loopback_is_no_port() -> None:
    setup()
    before = run("ip addr show dev lo")
    assert refused("ethernet1/1=lo") == [
        "ethernet1/1: lo is a loopback interface; "
        "name the one behind it with --port ethernet1/1=IFNAME"
    ]
    assert run("ip addr show dev lo") == before


@in_namespace
def test_a_second_one() -> None:
    setup()
    firewall = Firewall().ready()
    before = network()
    pid = firewall.process.pid
    assert refused() == [
        f"another firewall (pid {pid}) uses state directory {STATE}; name another with --state-dir"
    ]
    assert refused(state=Path("/run/other")) == [
        f"another firewall (pid {pid}) runs in this network namespace: stop it, "
        "or start this one in a namespace of its own"
    ]
    assert network() == before
    assert is_open()
    assert firewall.end() == 0


@in_namespace
def test_without_privilege() -> None:
    setup()
    STATE.mkdir(mode=0o700)
    command = [sys.executable, "-c", PROGRAM, str(CONFIG), str(STATE)]
    done = subprocess.run(
        ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "no privilege to change the network: start as root, or with CAP_NET_ADMIN and CAP_NET_RAW\n"
    )
    assert list(STATE.iterdir()) == []


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        ("refuse-start", "the dataplane does not start: queue is taken"),
        ("refuse", "this dataplane takes no configuration"),
    ],
)
@in_namespace
def test_a_dataplane_that_does_not_want(fake: str, message: str) -> None:
    setup()
    assert refused(fake=fake) == [message]
    assert is_closed()
    assert not is_alive(dataplanes()[-1])


@in_namespace
def test_what_was_forwarding_before_is_closed_while_the_firewall_is_not_there() -> None:
    """A machine that was a router must not be one around the firewall, nor after it."""
    setup()
    run("sysctl -qw net.ipv4.ip_forward=1; sysctl -qw net.ipv6.conf.all.forwarding=1")
    firewall = Firewall().ready()
    assert is_open()
    assert firewall.end() == 0
    assert is_closed()


@in_namespace
def test_it_can_be_stopped_while_it_starts() -> None:
    setup()
    firewall = Firewall(fake="mute")
    wait_until(lambda: JOURNAL.exists() and len(dataplanes()) == 1, "the dataplane is started")
    assert firewall.end() == 0
    assert is_closed()
    wait_until(lambda: not is_alive(dataplanes()[0]), "the dataplane is gone")


# ---- candidate and commit ------------------------------------------------------------------------


def cli(*commands: str) -> tuple[int, str]:
    """Exit status and output."""
    arguments = [argument for command in commands for argument in ("-c", command)]
    program = [sys.executable, "-m", "control.main", "cli", "--socket", f"{STATE}/cli.sock"]
    done = subprocess.run(
        [*program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


THIRD = (
    "set network interface ethernet ethernet1/9 layer3 ip 203.0.113.1/24\n"
    "set zone trust network layer3 ethernet1/9\n"
)


def configured(pid: int) -> list[list[str]]:
    """The ports of every configuration the dataplane was told."""
    return [ports for request, ports in told(pid) if request == "Configure"]


@in_namespace
def test_a_candidate_is_loaded_compared_saved_and_committed() -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    Path("/run/new.set").write_text(LINES.replace("fw1", "fw2") + THIRD)
    assert cli("commit") == (0, "There are no changes to commit.\n")
    status, shown = cli("load config from new.set", "check pending-changes")
    assert (status, shown.splitlines()) == (
        0,
        [
            "Config loaded from /run/new.set",
            "Warnings: 1; validate full lists them",
            "yes",
        ],
    )
    status, shown = cli("show config diff")
    assert shown.splitlines() == [
        "- set deviceconfig system hostname fw1",
        "+ set deviceconfig system hostname fw2",
        "+ set network interface ethernet ethernet1/9 layer3 ip 203.0.113.1/24",
        "- set zone trust network layer3 ethernet1/1",
        "+ set zone trust network layer3 [ ethernet1/1 ethernet1/9 ]",
    ]
    assert len(configured(pid)) == 1
    assert "fw1" in cli("show config running")[1]
    assert "fw2" in cli("show config candidate")[1]
    assert cli("save config to copy.set") == (0, "Config saved to /run/copy.set\n")
    assert cli("validate full")[1].endswith("Configuration is valid\n")
    status, shown = cli("commit")
    assert status == 0
    steps = ["checking the configuration ...", "telling the dataplane ..."]
    assert shown.splitlines()[:3] == [*steps, "configuring the kernel ..."]
    assert "Configuration committed successfully in " in shown
    assert configured(pid)[1:] == [["ethernet1/1", "ethernet1/2", "ethernet1/9"]]
    assert "203.0.113.1/24" in run("ip addr show dev eth9")
    assert cli("check pending-changes") == (0, "no\n")
    assert "hostname: fw2" in cli("show system info")[1]
    assert CONFIG.read_text() == LINES
    # what was saved is the same configuration
    assert cli("load config from /run/copy.set", "check pending-changes")[1].endswith("no\n")
    # and the file of the start is what a reload goes back to
    firewall.process.send_signal(signal.SIGHUP)
    wait_until(lambda: f"{CONFIG} loaded" in firewall.err(), "loaded")
    assert len(configured(pid)) == 3
    assert "203.0.113.1/24" not in run("ip addr show dev eth9")
    assert cli("check pending-changes") == (0, "no\n")
    assert firewall.end() == 0


@in_namespace
def test_what_is_committed_persists_where_that_is_wanted() -> None:
    setup()
    firewall = Firewall(persist=True).ready()
    Path("/run/new.set").write_text(LINES.replace("fw1", "fw2"))
    status, shown = cli("load config from new.set", "commit")
    assert status == 0
    assert "writing the configuration ..." in shown
    assert "fw2" in CONFIG.read_text()
    assert Path(f"{CONFIG}.previous").read_text() == LINES
    assert firewall.end() == 0
    firewall = Firewall(persist=True).ready()
    assert "hostname: fw2" in cli("show system info")[1]

    assert firewall.end() == 0


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (0o600, "something is there that is no configuration"),
        (0, f"{CONFIG}: cannot be read: Permission denied"),
    ],
)
@in_namespace
def test_what_cannot_be_written_is_in_force_and_said(mode: int, why: str) -> None:
    setup()
    without = "--bounding-set=-dac_override,-dac_read_search"
    firewall = Firewall(persist=True, prefix=["setpriv", without]).ready()
    CONFIG.write_text("no configuration\n")
    CONFIG.chmod(mode)
    Path("/run/new.set").write_text(LINES.replace("fw1", "fw3"))
    status, shown = cli("load config from new.set", "commit")
    start = f"in force, but not written to {CONFIG}, which the next start reads: {why}"
    assert status == 0
    for said in (shown, firewall.err()):
        (warning,) = [line for line in said.splitlines() if start in line]
        assert warning.endswith(f"; set that right, then 'save config to {CONFIG}'")
    assert "hostname: fw3" in cli("show system info")[1]
    assert CONFIG.read_text() == "no configuration\n"
    assert cli(f"save config to {CONFIG}")[0] == 1
    CONFIG.unlink()
    assert cli(f"save config to {CONFIG}")[0] == 0
    assert "fw3" in CONFIG.read_text()
    assert firewall.end() == 0


@in_namespace
def test_a_service_manager_is_told_how_it_goes() -> None:
    setup()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("/run/notify")
        manager.settimeout(20)

        def told() -> list[str]:
            return manager.recv(4096).decode().splitlines()

        firewall = Firewall(manager=Path("/run/notify"))
        forwarding = ["READY=1", f"STATUS=forwarding by 2 ports, {CONFIG}"]
        assert told() == forwarding
        assert is_open()
        firewall.process.send_signal(signal.SIGHUP)
        assert told() == ["RELOADING=1", f"STATUS=reading {CONFIG} again"]
        assert told() == forwarding
        firewall.process.send_signal(signal.SIGTERM)
        assert told() == ["STOPPING=1", "STATUS=closing what it has opened"]
        assert firewall.process.wait(20) == 0

        CONFIG.write_text("nonsense\n")
        (line,) = refused(manager=Path("/run/notify"))
        assert told() == [f"STATUS={line}"]


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (
            "set zone trust nonsense\nset rulebase security rules r action perhaps\n",
            ["/run/bad.set:9: error: zone trust: ", "/run/bad.set:10: error: rulebase "],
        ),
        (THIRD.replace("1/9", "1/7"), ["ethernet1/7: there is no interface eth7; "]),
    ],
    ids=["errors", "machine"],
)
@in_namespace
def test_a_commit_with_errors_changes_nothing(change: str, messages: list[str]) -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    before = network()
    Path("/run/bad.set").write_text(LINES + change)
    assert cli("load config from bad.set")[0] == 0
    for command in ("commit", "validate full"):
        status, shown = cli(command)
        assert status == 1
        assert all(message in shown for message in messages), shown
    assert network() == before
    assert len(configured(pid)) == 1
    assert is_open()
    status, shown = cli("save config to saved.set")
    assert Path("/run/saved.set").exists() == (status == 0)
    assert cli("revert config", "check pending-changes")[1].endswith("no\n")
    assert firewall.end() == 0
    assert "Traceback" not in firewall.err()


@in_namespace
def test_a_commit_the_kernel_does_not_take_goes_back() -> None:
    setup()
    firewall = Firewall().ready()
    (pid,) = dataplanes()
    before = network()
    run("mount -o bind,ro /proc/sys /proc/sys")
    Path("/run/new.set").write_text(LINES + THIRD)
    status, shown = cli("load config from new.set", "commit")
    assert status == 1
    assert "cannot set net.ipv4.conf.eth9." in shown
    assert "Commit failed, the running configuration stays as it is\n" in shown
    wait_until(lambda: configured(pid)[-1] == ["ethernet1/1", "ethernet1/2"], "told the old one")
    wait_until(lambda: network() == before, "the kernel has the old configuration again")
    assert cli("check pending-changes") == (0, "yes\n")
    run("umount /proc/sys")
    assert cli("commit")[0] == 0
    assert "203.0.113.1/24" in run("ip addr show dev eth9")
    assert firewall.end() == 0


@contextlib.contextmanager
def commit_under_way(pid: int) -> Iterator[subprocess.Popen[str]]:
    """An administrator who waits for a dataplane that hangs."""
    Path("/run/new.set").write_text(LINES + THIRD)
    assert cli("load config from new.set")[0] == 0
    os.kill(pid, signal.SIGSTOP)
    program = [sys.executable, "-m", "control.main", "cli", "--socket", f"{STATE}/cli.sock"]
    with subprocess.Popen(
        [*program, "-c", "commit"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as administrator:
        try:
            assert administrator.stdout
            assert any("dataplane" in line for line in administrator.stdout)
            yield administrator
        finally:
            administrator.kill()


@in_namespace
def test_one_commit_at_a_time_and_it_goes_on_alone() -> None:
    setup()
    firewall = Firewall(patience_s="30").ready()
    (pid,) = dataplanes()
    with commit_under_way(pid):
        status, shown = cli("commit")
        assert (status, shown.splitlines()[0]) == (
            1,
            "Another commit is in progress. Please try again later",
        )
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "/run/new.set committed" in firewall.err(), "committed")
    assert "203.0.113.1/24" in run("ip addr show dev eth9")
    assert firewall.end() == 0


@in_namespace
def test_a_firewall_can_be_stopped_while_it_commits() -> None:
    setup()
    firewall = Firewall(patience_s="30").ready()
    (pid,) = dataplanes()
    with commit_under_way(pid) as administrator:
        assert firewall.end() == 0
        assert administrator.wait(20) == 2
    assert is_closed()
    assert "Traceback" not in firewall.err(), firewall.err()
