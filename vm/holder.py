"""Process 1 of a lab: makes hosts and links, starts the servers, then keeps all of it alive.

It runs in its own network, mount and PID namespaces with a private /run, so nothing it makes is
seen outside and everything is gone when it is: the kernel ends every process of a PID namespace
with its process 1, and the named network namespaces are mounts of a mount namespace that nobody is
left in.

With the argument `machine`, the firewall is a machine: the hosts' ends of the links are taps, which
qemu opens (launcher.py), and a switch is between it and the tagged hosts. The namespace `firewall`
is then qemu's and has no interfaces.

Started by namespaces.py. Standard output speaks to the one who started it: a line for each step,
then `ready`, or `error: ` and one line on why not.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from vm import switch
from vm.topology import (
    FIREWALL,
    HOSTS,
    LINKS,
    MACHINE_HOSTS,
    MACHINE_LINKS,
    SERVER,
    SERVER6,
    WEB_NAME,
    Link,
)
from vm.waiting import wait_until

STATE = Path("/run/lab")
READY = "ready"
ERROR = "error: "
MACHINE = "machine"
DOWNLOAD_BYTES = 1 << 20


class HolderError(Exception):
    """Why there is no lab, in one line."""


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _do(command: list[str], text: str | None = None) -> None:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        why = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise HolderError(f"`{' '.join(command)}` failed: {why}")


def _ip(lines: list[str], *, host: str | None = None) -> None:
    where = ["-n", host] if host else []
    _do(["ip", *where, "-batch", "-"], "\n".join(lines) + "\n")


def make_hosts(hosts: tuple[str, ...]) -> None:
    _ip([f"netns add {host}" for host in hosts])
    for host in hosts:
        # nothing else is on a link: its addresses are good at once
        setting = "/proc/sys/net/ipv6/conf/default/accept_dad"
        _do(["ip", "netns", "exec", host, "sh", "-c", f"echo 0 >{setting}"])
        _ip(["link set lo up"], host=host)


def link_by_veths() -> None:
    _ip(
        [
            f"link add eth0 netns {link.host} type veth peer name {link.port} netns {FIREWALL}"
            for link in LINKS
        ]
    )
    _ip([f"link set {link.port} up" for link in LINKS], host=FIREWALL)


def make_taps() -> None:
    """They outlive whoever opens them: a machine can be started again and finds its links."""
    for link in MACHINE_LINKS:
        # one tap can be opened for each queue of the machine's port; the switch has one
        queues = "" if link.vlan else "multi_queue"
        _do(["ip", "-n", link.host, *f"tuntap add dev eth0 mode tap {queues}".split()])


def bring_up(links: tuple[Link, ...]) -> None:
    for link in links:
        _ip(
            [
                "link set eth0 up",
                *(f"address add {address} dev eth0" for address in link.addresses),
                *(f"route add default via {gateway}" for gateway in link.gateways),
            ],
            host=link.host,
        )


def start_servers() -> dict[str, subprocess.Popen[bytes]]:
    web = STATE / "web"
    for directory in (web, STATE / "tmp"):
        directory.mkdir()
    (web / "index.html").write_text(f"This is {WEB_NAME}, behind the firewall.\n")
    (web / "download").write_bytes(bytes(range(256)) * (DOWNLOAD_BYTES // 256))
    config = Path(__file__).with_name("nginx.conf")
    nginx = ["nginx", "-p", str(STATE), "-e", str(STATE / "nginx.log"), "-c", str(config)]
    dnsmasq = [
        "dnsmasq",
        "--conf-file=/dev/null",
        "--no-daemon",
        "--no-resolv",
        "--no-hosts",
        "--pid-file",
        f"--host-record={WEB_NAME},{SERVER},{SERVER6}",
    ]
    servers = {}
    for command in (nginx, dnsmasq):
        with (STATE / f"{command[0]}.out").open("wb") as out:
            servers[command[0]] = subprocess.Popen(
                ["ip", "netns", "exec", "server", *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
    return servers


def await_servers(servers: dict[str, subprocess.Popen[bytes]]) -> None:
    inside = ["ip", "netns", "exec", "server"]
    curl = ["curl", "--silent", "--fail", "--max-time", "2", "--output", "/dev/null"]
    dig = ["dig", "+time=1", "+tries=1", WEB_NAME]

    def answers() -> bool:
        for name, server in servers.items():
            if server.poll() is not None:
                said = " ".join((STATE / f"{name}.out").read_text(errors="replace").split())
                raise HolderError(f"{name} does not run: {said}")
        questions = (
            [*curl, f"http://{SERVER}/"],
            [*curl, f"http://[{SERVER6}]/"],
            [*dig, f"@{SERVER}"],
            [*dig, f"@{SERVER6}"],
        )
        return all(_succeeds([*inside, *question]) for question in questions)

    wait_until(answers, "nginx and dnsmasq answer", seconds=20)


def start_switch() -> None:
    with (STATE / "switch.out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", switch.__name__],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )

    def is_there() -> bool:
        if process.poll() is not None:
            said = " ".join((STATE / "switch.out").read_text(errors="replace").split())
            raise HolderError(f"the switch of the tagged hosts does not run: {said}")
        return switch.TRUNK.exists()

    wait_until(is_there, "the switch of the tagged hosts", seconds=20)


def build(*, with_machine: bool) -> None:
    _do(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", "/run"])
    STATE.mkdir()
    hosts, links = (MACHINE_HOSTS, MACHINE_LINKS) if with_machine else (HOSTS, LINKS)
    print(f"hosts and links: {', '.join(hosts)}", flush=True)
    make_hosts(hosts)
    if with_machine:
        make_taps()
    else:
        link_by_veths()
    bring_up(links)
    if with_machine:
        start_switch()
    print("servers: nginx, dnsmasq", flush=True)
    await_servers(start_servers())


def reap_for_ever() -> None:
    """The duty of process 1: whoever lost its parent in here ends up with us."""
    # after the last child was started, because they would inherit the blocked signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass
        signal.sigwait([signal.SIGCHLD])


def main() -> int:
    try:
        build(with_machine=sys.argv[1:] == [MACHINE])
    except (HolderError, OSError, subprocess.SubprocessError) as error:
        print(f"{ERROR}{error}", flush=True)
        return 1
    print(READY, flush=True)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    reap_for_ever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
