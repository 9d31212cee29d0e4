"""Helpers of the tests that run in labs."""

import contextlib
import sys
from pathlib import Path

from vm.firewall import CONFIG
from vm.namespaces import Lab
from vm.topology import FIREWALL, LINKS

PYTHON = sys.executable

# The lab's configuration with timers that a test can wait for.
_SHORT_TIMERS = """
set deviceconfig setting session timeout-tcp-time-wait 1
set deviceconfig setting session timeout-icmp 1
set deviceconfig setting session timeout-udp 1
"""


def firewall_config(path: Path) -> Path:
    path.write_text(CONFIG.read_text() + _SHORT_TIMERS)
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
    commands += [
        f"echo 1 >/proc/sys/net/{switch}"
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    ]
    done = lab.run(FIREWALL, ["sh", "-ec", "\n".join(commands)])
    assert done.returncode == 0, done.stderr


def namespaces_in_use() -> set[int]:
    """The network namespaces any process lives in."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            found.add(link.stat().st_ino)
    return found
