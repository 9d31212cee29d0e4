"""A dataplane that speaks and remembers, and never sees a packet.

FAKE_DATAPLANE says what is wrong with it (nothing, by default):
    refuse-start    one line on standard error, exit status 2
    refuse          answers Configure with Failed
    mute            takes requests and answers none
FAKE_JOURNAL names a file that gets one line of JSON for each start and each request.
"""

import argparse
import contextlib
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dataplane.messages import (
    Configure,
    Done,
    Failed,
    GetStatus,
    Reply,
    Request,
    SetPaths,
    SetRoutes,
    Status,
    Stop,
)
from dataplane.snapshot import AcceleratedAging
from native import TIMERS

LENGTH = struct.Struct("!I")

STATUS = Status(
    pid=100,
    io="fake",
    configured=True,
    uptime_s=10.0,
    max_sessions=65536,
    allocated=0,
    tcp=0,
    udp=0,
    icmp=0,
    other=0,
    discard=0,
    installed=1234,
    packets_per_s=0,
    kbps=0,
    sessions_per_s=0,
    log_lost=0,
    timeouts_s={timer.knob: timer.default_s for timer in TIMERS},
    tcp_reject_non_syn=True,
    ipv6_firewalling=True,
    platform="pa-5000",
    offload=True,
    offloaded=0,
    strict_tcp_sequence=True,
    no_refresh_on_discard=False,
    accelerated_aging=AcceleratedAging(),
    aging_accelerated=False,
    fragments=0,
    fragment_bytes=0,
    scan_threshold_percent=80,
    scan_factor=8,
    fail_open=False,
    vsys_max_sessions=0,
    vsys_throttled=0,
    held=12,
    max_held=2048,
    packet_threats=False,
)


def main() -> int:
    parser = argparse.ArgumentParser()
    for option in ("--socket", "--log", "--threat-log", "--io", "--queue", "--platform"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    mode = os.environ.get("FAKE_DATAPLANE", "")
    note({"start": os.getpid(), "queue": options.queue})
    if mode == "refuse-start":
        print("queue is taken", file=sys.stderr)
        return 2
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(options.socket)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):  # who asked may have given up
            if not serve(connection, mode, options.platform):
                return 0


def serve(connection: socket.socket, mode: str, platform: str) -> bool:
    """Answers until the connection ends; whether to go on then."""
    with connection.makefile("rb") as stream:
        while header := stream.read(LENGTH.size):
            body = stream.read(LENGTH.unpack(header)[0])
            request: Request = msgspec.msgpack.decode(body, type=Request)
            reply = answer(request, mode, platform)
            note({"request": type(request).__name__, "detail": detail(request)})
            if mode == "mute":
                time.sleep(3600)
            encoded = msgspec.msgpack.encode(reply)
            connection.sendall(LENGTH.pack(len(encoded)) + encoded)
            if isinstance(request, Stop):
                return False
    return True


def note(entry: dict[str, object]) -> None:
    if journal := os.environ.get("FAKE_JOURNAL"):
        with Path(journal).open("a") as file:
            file.write(json.dumps(entry) + "\n")


def detail(request: Request) -> list[str]:
    match request:
        case Configure(snapshot=snapshot):
            return [port.name for port in snapshot.ports]
        case SetRoutes(routes=routes):
            return [route.prefix for route in routes]
        case SetPaths(paths=paths, unreachable_pbf=unreachable):
            return [
                *(f"{one.port} {one.nexthop} {one.mac.hex(':')}" for one in paths),
                *unreachable,
            ]
        case _:
            return []


def answer(request: Request, mode: str, platform: str) -> Reply:
    match request:
        case GetStatus():
            return replace(STATUS, pid=os.getpid(), platform=platform)
        case Configure() if mode == "refuse":
            return Failed("this dataplane takes no configuration")
        case _:
            return Done()


if __name__ == "__main__":
    sys.exit(main())
