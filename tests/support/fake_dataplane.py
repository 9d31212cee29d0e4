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

from dataplane.messages import (
    Configure,
    Done,
    Failed,
    GetStatus,
    Reply,
    Request,
    SetRoutes,
    Status,
    Stop,
)

LENGTH = struct.Struct("!I")


def main() -> int:
    parser = argparse.ArgumentParser()
    for option in ("--socket", "--log", "--io", "--queue"):
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
            if not serve(connection, mode):
                return 0


def serve(connection: socket.socket, mode: str) -> bool:
    """Answers until the connection ends; whether to go on then."""
    with connection.makefile("rb") as stream:
        while header := stream.read(LENGTH.size):
            body = stream.read(LENGTH.unpack(header)[0])
            request: Request = msgspec.msgpack.decode(body, type=Request)
            reply = answer(request, mode)
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
        case _:
            return []


def answer(request: Request, mode: str) -> Reply:
    match request:
        case GetStatus():
            return Status(
                os.getpid(), "fake", True, 0.0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {}, True, True
            )
        case Configure() if mode == "refuse":
            return Failed("this dataplane takes no configuration")
        case _:
            return Done()


if __name__ == "__main__":
    sys.exit(main())
