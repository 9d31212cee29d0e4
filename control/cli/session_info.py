"""`show session info`, `show session meter` and `set session`: the dataplane's state as a whole.

What this firewall does not have prints as on a device that does not use it: off, with the vendor's
default parameters. What the device does not print stands between its lines, in their layout.
"""

from __future__ import annotations

from collections.abc import Mapping

from control.cli.answers import ask
from control.management import Management
from dataplane.messages import Done, GetStatus, SetOffload, Status
from dataplane.offload import PROFILES

_RULE = "-" * 80

# ---- show session info ---------------------------------------------------------------------------


async def info(management: Management) -> str:
    return render_info(await ask(management, GetStatus(), Status))


def render_info(status: Status) -> str:
    blocks = (
        ["target-dp: *.dp0"],
        _counts(status),
        _timeouts(status.timeouts_s),
        _aging(status),
        _setup(status),
        _offload_engine(status),
        _scan(status),
        [_fact("Session behavior when resource limit is reached", _limit_behavior(status))],
        ["Pcap token bucket rate                         : 10485760"],
        ["Max pending queued mcast packets per session   : 0"],
    )
    return "".join(f"{line}\n" for block in blocks for line in (*block, _RULE))


def _counts(status: Status) -> list[str]:
    # what accelerated aging goes by
    capacity = min(status.vsys_max_sessions or status.max_sessions, status.max_sessions)
    utilization = status.allocated * 100 // max(capacity, 1)
    return [
        _fact("Number of sessions supported", status.max_sessions),
        _fact("Number of allocated sessions", status.allocated),
        _fact("Number of active TCP sessions", status.tcp),
        _fact("Number of active UDP sessions", status.udp),
        _fact("Number of active ICMP sessions", status.icmp),
        _fact("Number of active GTPc sessions", 0),
        _fact("Number of active GTPu sessions", 0),
        _fact("Number of pending GTPu sessions", 0),
        _fact("Number of active BCAST sessions", 0),
        _fact("Number of active MCAST sessions", 0),
        _fact("Number of active predict sessions", 0),
        _fact("Number of active SCTP sessions", 0),
        _fact("Number of active SCTP associations", 0),
        _fact("Session table utilization", f"{utilization}%"),
        _fact("Number of sessions created since bootup", status.installed),
        _fact("Packet rate", f"{status.packets_per_s}/s"),
        _fact("Throughput", f"{status.kbps} kbps"),
        _fact("New connection establish rate", f"{status.sessions_per_s} cps"),
        _fact("Number of IP fragments held", f"{status.fragments} ({status.fragment_bytes} bytes)"),
    ]


def _timeouts(timeouts_s: Mapping[str, int]) -> list[str]:
    def timer(label: str, knob: str) -> str:
        return _timeout(label, timeouts_s[knob])

    closing = [
        timer("TCP half-closed session timeout", "timeout-tcp-half-closed"),
        timer("TCP session timeout in TIME_WAIT", "timeout-tcp-time-wait"),
    ]
    if timeouts_s["timeout-tcpwait"]:  # holds instead of the two where it is set
        closing = [timer("TCP session timeout after FIN/RST", "timeout-tcpwait")]
    return [
        "Session timeout",
        timer("TCP default timeout", "timeout-tcp"),
        timer("TCP session timeout before SYN-ACK received", "timeout-tcpinit"),
        timer("TCP session timeout before 3-way handshaking", "timeout-tcphandshake"),
        *closing,
        _timeout("TCP session delayed ack timeout", 250, "millisecs"),
        timer("TCP session timeout for unverified RST", "timeout-tcp-unverified-rst"),
        timer("UDP default timeout", "timeout-udp"),
        timer("ICMP default timeout", "timeout-icmp"),
        _timeout("SCTP default timeout", 3600),
        _timeout("SCTP timeout before INIT-ACK received", 5),
        _timeout("SCTP timeout before COOKIE received", 60),
        _timeout("SCTP timeout before SHUTDOWN received", 30),
        timer("other IP default timeout", "timeout-default"),
        timer("Captive Portal session timeout", "timeout-captive-portal"),
        "  Session timeout in discard state:",
        f"    TCP: {timeouts_s['timeout-discard-tcp']} secs,"
        f" UDP: {timeouts_s['timeout-discard-udp']} secs, SCTP: 60 secs,"
        f" other IP protocols: {timeouts_s['timeout-discard-default']} secs",
    ]


def _timeout(label: str, value: int, unit: str = "secs") -> str:
    return _fact(f"  {label}", f"{value:>4d} {unit}")


def _aging(status: Status) -> list[str]:
    aging = status.accelerated_aging
    return [
        _fact("Session accelerated aging", f"{aging.enabled}"),
        _fact("  Accelerated aging threshold", f"{aging.threshold_percent}% of utilization"),
        _fact("  Scaling factor", f"{aging.factor} X"),
        _fact("  Accelerated aging in progress", f"{status.aging_accelerated}"),
    ]


def _setup(status: Status) -> list[str]:
    return [
        "Session setup",
        _fact("  TCP - reject non-SYN first packet", f"{status.tcp_reject_non_syn}"),
        _fact("  Hardware session offloading", f"{status.offload}"),
        _fact("  Hardware UDP session offloading", f"{status.offload}"),
        _fact("  IPv6 firewalling", f"{status.ipv6_firewalling}"),
        _fact("  Strict TCP/IP checksum", "True"),
        _fact("  Strict TCP RST sequence", f"{status.strict_tcp_sequence}"),
        _fact("  Reject TCP small initial window", "False"),
        _fact("  Do not refresh discard sessions", f"{status.no_refresh_on_discard}"),
        _fact("  ICMP Unreachable Packet Rate", "200 pps"),
    ]


def _offload_engine(status: Status) -> list[str]:
    profile = PROFILES[status.platform]
    facts = ["Offload engine", _fact("  Platform", status.platform)]
    if profile.packets:
        facts += [
            _fact("  Sessions offloaded", status.offloaded),
            _fact("  Packets of a flow until it reports", profile.packets),
            _fact("  Packets of a UDP flow until it reports", profile.udp_packets),
            _fact(
                "  Time until a flow reports",
                f"{profile.scan_ms // 1000} secs" if profile.scan_ms else "unlimited",
            ),
        ]
    return facts


def _scan(status: Status) -> list[str]:
    timeout_s, threshold = status.timeouts_s["timeout-scan"], status.scan_threshold_percent
    return [
        "Application trickling scan parameters:",
        _fact("  Timeout to determine application trickling", f"{timeout_s} secs"),
        _fact("  Resource utilization threshold to start scan", f"{threshold}%"),
        _fact("  Scan scaling factor over regular aging", status.scan_factor),
    ]


def _limit_behavior(status: Status) -> str:
    return "bypass" if status.fail_open else "drop"


# ---- show session meter --------------------------------------------------------------------------


async def meter(management: Management) -> str:
    """Sessions of each virtual system, of which there is one; maximum 0 is no limit."""
    status = await ask(management, GetStatus(), Status)
    rows = (
        ("VSYS", "Maximum", "Current", "Throttled"),
        (1, status.vsys_max_sessions, status.allocated, status.vsys_throttled),
    )
    return "".join(
        f"{vsys:<4} {maximum:>10} {current:>10} {throttled:>12}\n"
        for vsys, maximum, current, throttled in rows
    )


# ---- set session ---------------------------------------------------------------------------------


async def set_offload(management: Management, enabled: bool) -> str:
    await ask(management, SetOffload(enabled), Done)
    until = "until a commit changes the setting or the dataplane restarts"
    return _fact("Hardware session offloading", f"{enabled} ({until})") + "\n"


def _fact(label: str, value: int | str) -> str:
    return f"{label + ':':<48s} {value}"
