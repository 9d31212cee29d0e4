"""Elements under `deviceconfig` and `import`: settings of the dataplane and of the system."""

from __future__ import annotations

from collections.abc import Iterator

from control.config.elements import Container, Leaf, container, kept, kept_leaves
from control.config.references import LISTED_INTERFACE, VIRTUAL_ROUTER
from control.config.value_types import YES_NO, matching, number, one_of
from native import TIMERS, TimerInfo

_OTHER_SESSION_SETTINGS = (
    "dhcp-bcast-session-on",
    "erspan",
    "icmp-unreachable-rate",
    "max-pending-mcast-pkts-per-session",
    "multicast-route-setup-buffering",
    "packet-buffer-protection-block-countdown",
    "packet-buffer-protection-latency-activate",
    "packet-buffer-protection-latency-alert",
    "packet-buffer-protection-latency-block-countdown",
    "packet-buffer-protection-latency-max-tolerate",
    "packet-buffer-protection-use-latency",
)
_SHOWN_ONLY = "Shown by show session info, without other effect."
_SHOWN_TIMERS = ("timeout-scan", "timeout-captive-portal")


def _timer(timer: TimerInfo) -> Leaf:
    help = f"Seconds: {timer.text}."
    if timer.knob in _SHOWN_TIMERS:
        help += f" {_SHOWN_ONLY}"
    elif not timer.default_s:
        help += " Not in force unless set."
    default = str(timer.default_s) if timer.default_s else ""
    return Leaf(timer.knob, help, number(timer.min_s, timer.max_s), default)


def _session_settings() -> Container:
    return container(
        "session",
        "Session timers and session setup.",
        (_timer(timer) for timer in TIMERS),
        Leaf(
            "tcp-reject-non-syn",
            "Drop a TCP packet that belongs to no session and is no SYN.",
            YES_NO,
            "yes",
        ),
        Leaf(
            "resource-limit-behavior",
            "What becomes of packets that come faster than they can be queued: bypass lets them "
            "pass unseen.",
            one_of("drop", "bypass"),
            "drop",
        ),
        Leaf("ipv6-firewalling", "Whether IPv6 packets are taken at all.", YES_NO, "yes"),
        Leaf(
            "discard-denied",
            "A denied first packet leaves a session in discard state, so that those behind it are "
            "dropped without asking the rules again. Not an element of the vendor's.",
            YES_NO,
            "yes",
        ),
        Leaf(
            "no-refresh-on-discard",
            "A packet of a session in discard state leaves its timer alone, so that the session "
            "ends however often is tried.",
            YES_NO,
            "no",
        ),
        Leaf(
            "offload",
            "Whether the offload engine takes sessions over; it refreshes their timers only when "
            "it reports.",
            YES_NO,
            "yes",
        ),
        Leaf(
            "accelerated-aging-enable",
            "Let idle sessions end sooner while much of the session table is in use.",
            YES_NO,
            "yes",
        ),
        Leaf(
            "accelerated-aging-threshold",
            "Percentage of the session table in use from which on they do.",
            number(50, 99),
            "80",
        ),
        Leaf(
            "accelerated-aging-scaling-factor",
            "What their timers are divided by.",
            number(2, 16),
            "2",
        ),
        Leaf(
            "scan-threshold",
            "Percentage of the session table in use from which on trickling applications are "
            f"looked for. {_SHOWN_ONLY}",
            number(50, 99),
            "80",
        ),
        Leaf(
            "scan-scaling-factor",
            f"How much faster than regular aging that is. {_SHOWN_ONLY}",
            number(2, 16),
            "8",
        ),
        _packet_buffer_protection(),
        kept_leaves(*_OTHER_SESSION_SETTINGS),
        kept("icmpv6-rate-limit", "jumbo-frame"),
    )


def _packet_buffer_protection() -> Iterator[Leaf]:
    """Fact sheet 2.2."""
    of_zones = "of zones with enable-packet-buffer-protection"
    yield Leaf(
        "packet-buffer-protection-enable",
        f"Whether sources {of_zones} are kept from filling the packet buffer: the packets that "
        "wait for a decision.",
        YES_NO,
        "yes",
    )
    yield Leaf("packet-buffer-protection-monitor-only", "They are only told of.", YES_NO, "no")
    yield Leaf(
        "packet-buffer-protection-alert",
        "Percentage of the buffer in use that is told of.",
        number(0, 99),
        "50",
    )
    yield Leaf(
        "packet-buffer-protection-activate",
        "Percentage from which on no source may hold more than is still free.",
        number(0, 99),
        "80",
    )
    yield Leaf(
        "packet-buffer-protection-block-hold-time",
        "Seconds after which a source that goes on trying is blocked.",
        number(0, 65535),
        "60",
    )
    yield Leaf(
        "packet-buffer-protection-block-duration-time",
        "Seconds: for how long.",
        number(1, 15_999_999),
        "3600",
    )


def _tcp_settings() -> Container:
    return container(
        "tcp",
        "What is demanded of TCP.",
        Leaf(
            "asymmetric-path",
            "What becomes of segments out of window: bypass lets them pass, and takes every RST "
            "for verified.",
            one_of("drop", "bypass"),
            "drop",
        ),
        Leaf(
            "allow-challenge-ack",
            "Let a server answer a SYN with an ACK that fits an older connection.",
            YES_NO,
            "no",
        ),
        Leaf(
            "strip-mptcp-option",
            "Take the Multipath TCP option out of TCP segments, so that the subflows of a "
            "connection do not pass apart.",
            YES_NO,
            "yes",
        ),
        kept_leaves(
            "bypass-exceed-oo-queue",
            "check-timestamp-option",
            "drop-zero-flag",
            "siptcp-cleartext-proxy",
            "tcp-retransmit-scan",
            "urgent-data",
        ),
    )


def deviceconfig() -> Container:
    return container(
        "deviceconfig",
        "The device itself.",
        container(
            "setting",
            "Settings of the dataplane.",
            _session_settings(),
            _tcp_settings(),
            container(
                "config",
                "What a commit does.",
                Leaf(
                    "rematch",
                    "Whether running sessions are held to the new rules: what these deny ends. "
                    "The vendor's default is no.",
                    YES_NO,
                    "yes",
                ),
            ),
            container(
                "nat",
                "Address translation.",
                Leaf(
                    "reserve-ip",
                    "Whether a dynamic address stays its source's when its last session is over.",
                    YES_NO,
                    "no",
                ),
                Leaf("reserve-time", "Seconds: for how long.", number(1, 604_800), "28800"),
                Leaf(
                    "dipp-oversub",
                    "Sessions to different destinations that may share a translated port.",
                    one_of("1x", "2x", "4x", "8x"),
                    "1x",
                ),
            ),
            kept("advance-routing", "application", "auto-mac-detect", "cloudapp", "ctd"),
            kept(
                "custom-logo", "dhcp", "dlp", "fail-open", "global-protect", "hawkeye", "iot", "l7"
            ),
            kept("lockout", "logging", "management", "nat64", "packet", "pow", "proxy", "qos"),
            kept("ssl-decrypt", "tunnel-acceleration", "tunnel-monitor", "url", "vpn"),
            kept("wildfire", "zip"),
        ),
        container(
            "system",
            "The system.",
            Leaf(
                "hostname",
                "Name of the firewall.",
                matching(
                    "a host name of up to 31 letters, digits, - and .",
                    r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?",
                    31,
                ),
                "sixtuple",
            ),
            kept_leaves(
                "ack-login-banner",
                "authentication-profile",
                "default-gateway",
                "domain",
                "fips-mode",
                "fqdn-refresh-time",
                "hostname-type-in-syslog",
                "ip-address",
                "ipv6-address",
                "ipv6-default-gateway",
                "locale",
                "login-banner",
                "mtu",
                "netmask",
                "non-ui-authentication-profile",
                "panorama-server",
                "panorama-server-2",
                "secure-proxy-password",
                "secure-proxy-port",
                "secure-proxy-server",
                "secure-proxy-user",
                "server-verification",
                "speed-duplex",
                "ssl-tls-service-profile",
                "timezone",
                "update-server",
                "vpn-disable-mode",
                "web-server-certificate",
            ),
            kept(
                "config-bundle-export-schedule", "device-telemetry", "dns-setting", "domain-lookup"
            ),
            kept("geo-location", "inline-url-classification", "log-export-schedule", "log-link"),
            kept("lcaas-use-proxy", "motd-and-banner", "ntp-servers", "panorama", "permitted-ip"),
            kept("quota-settings", "route", "service", "snmp-setting", "ssh", "type"),
            kept("update-schedule"),
        ),
        kept("high-availability", "plugins"),
    )


def imports() -> Container:
    return container(
        "import",
        "What belongs to the one virtual system, vsys1; everything does, listed or not.",
        container(
            "network",
            "Network elements of vsys1.",
            Leaf("interface", "Interfaces.", LISTED_INTERFACE, many=True),
            Leaf("virtual-router", "Virtual routers.", VIRTUAL_ROUTER, many=True),
            kept_leaves("logical-router", "virtual-wire", "vlan", many=True),
        ),
        container(
            "resource",
            "What vsys1 may use.",
            Leaf(
                "max-sessions",
                "Sessions it may have; 0 is no limit but the session table. Accelerated aging "
                "goes by it where it is less.",
                number(0, 10_000_000),
                "0",
            ),
            kept_leaves(
                "max-application-override-rules",
                "max-auth-rules",
                "max-concurrent-ssl-vpn-tunnels",
                "max-cp-rules",
                "max-dos-rules",
                "max-nat-rules",
                "max-pbf-rules",
                "max-qos-rules",
                "max-security-rules",
                "max-site-to-site-vpn-tunnels",
                "max-ssl-decryption-rules",
            ),
        ),
        kept("visible-vsys"),
    )
