"""Traffic of the hosts of a lab, as commands:

    python -m tests.support.load flood DEVICE GATEWAY DESTINATION SECONDS RATE
    python -m tests.support.load source ADDRESS PORT
    python -m tests.support.load sink ADDRESS PORT BOARD
    python -m tests.support.load numbers ADDRESS PORT
    python -m tests.support.load numbered ADDRESS PORT
    python -m tests.support.load whoami PORT
    python -m tests.support.load transfers ADDRESS PORT
    python -m tests.support.load download ADDRESS PORT BYTES
    python -m tests.support.load upload ADDRESS PORT BYTES

`flood` sends UDP packets, so many a second, each from another host and port to another port, and
prints how many. `source` and `sink` are the ends of a TCP connection: what the first sends until
its standard input ends has to arrive at the other. Both print the bytes and their digest, and the
board, a file, shows how many have come so far. `numbered` sends UDP packets with numbers, some
hundred a second, until its standard input ends, and prints how many; `numbers` prints how many
different ones have come. `whoami` is a web server that answers with the address and the port it
is asked from, over IPv4 and IPv6; `POST` is answered with the digest of what came. `download` and
`upload` move so many bytes by TCP from or to `transfers`, print how many seconds that took, and
end with 1 where the digest of what came is not that of what was sent. Servers print `ready` when
they are.
"""

import contextlib
import errno
import hashlib
import http.server
import os
import random
import select
import socket
import socketserver
import struct
import sys
import time
from collections.abc import Callable, Iterator

from tests.support.wires import checksum

_BLOCK_BYTES = 1 << 17
_RECEIVE_BYTES = 8 << 20
_PATIENCE_S = 30  # with a peer that says nothing
_PACE_S = 0.002
_QUIET_S = 1.0  # nothing comes any more
_BATCH = 512
_ETH_P_IP = 0x0800
_UDP = 17


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _is_over(within_s: float = 0) -> bool:
    """Whether the standard input has ended."""
    return bool(select.select([sys.stdin], [], [], within_s)[0])


def flood(device: str, gateway: str, destination: str, seconds: str, rate: str) -> None:
    target = socket.inet_aton(destination)
    fixed = struct.pack("!BBHHHBB", 0x45, 0, 29, 0, 0, 64, _UDP)
    # the two halves of a source address add up to 0xffff, which leaves the checksum as it is
    start = bytes.fromhex(gateway.replace(":", "")) + b"\2\0\0\0\0\1\x08\0"
    start += fixed + checksum(fixed + target)
    end = b"\0\x09\0\0."  # of UDP: length, no checksum, one byte
    sent, began = 0, time.monotonic()  # noqa: TID251 - an edge
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((device, _ETH_P_IP))
        while sent < int(rate) * float(seconds):
            passed = time.monotonic() - began  # noqa: TID251
            if passed > float(seconds):
                break
            time.sleep(max(sent / int(rate) - passed, 0))
            noise = os.urandom(6 * _BATCH)
            for at in range(0, len(noise), 6):
                upper = 0x0B00 + int.from_bytes(noise[at : at + 2]) % 0x6000
                source = struct.pack("!HH", upper, 0xFFFF - upper)
                try:
                    raw.send(start + source + target + noise[at + 2 : at + 6] + end)
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
            sent += _BATCH
    print(sent)


def source(address: str, port: str) -> None:
    digest, total, numbers = hashlib.sha256(), 0, random.Random(6)
    with socket.create_server((address, int(port)), family=_family(address)) as server:
        print("ready", flush=True)
        peer, _ = server.accept()
    with peer:
        peer.settimeout(_PATIENCE_S)
        while not _is_over():
            block = numbers.randbytes(_BLOCK_BYTES)
            peer.sendall(block)
            digest.update(block)
            total += len(block)
    print(total, digest.hexdigest())


def sink(address: str, port: str, board: str) -> None:
    digest, total = hashlib.sha256(), 0
    shown = os.open(board, os.O_WRONLY | os.O_CREAT)
    with socket.create_connection((address, int(port)), timeout=_PATIENCE_S) as peer:
        while block := peer.recv(_BLOCK_BYTES):
            digest.update(block)
            total += len(block)
            os.pwrite(shown, b"%20d" % total, 0)
    print(total, digest.hexdigest())


def numbers(address: str, port: str) -> None:
    came = set()
    with socket.socket(_family(address), socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        server.bind((address, int(port)))
        print("ready", flush=True)
        is_over = False
        while not is_over:
            is_over = _is_over()
            while select.select([server], [], [], _QUIET_S if is_over else 0.1)[0]:
                came.add(server.recv(16))
    print(len(came))


def numbered(address: str, port: str) -> None:
    sent = 0
    with socket.socket(_family(address), socket.SOCK_DGRAM) as client:
        client.connect((address, int(port)))
        while not _is_over(_PACE_S):
            with contextlib.suppress(ConnectionRefusedError):
                client.send(b"%d" % sent)
            sent += 1
    print(sent)


class _Whoami(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer("{} {}".format(*self.client_address))

    def do_POST(self) -> None:
        digest, missing = hashlib.sha256(), int(self.headers["Content-Length"])
        while missing and (block := self.rfile.read(min(missing, _BLOCK_BYTES))):
            digest.update(block)
            missing -= len(block)
        self._answer(digest.hexdigest())

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


class _BothFamilies(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 128


def whoami(port: str) -> None:
    with _BothFamilies(("::", int(port)), _Whoami) as server:
        print("ready", flush=True)
        server.serve_forever()


_ORDER = struct.Struct("!cQ")  # who sends, s(erver) or c(lient), and how many bytes
_DIGEST_BYTES = hashlib.sha256().digest_size


def _blocks(total: int) -> Iterator[bytes]:
    """No two are alike, so that none can take the place of another."""
    noise = random.Random(6).randbytes(_BLOCK_BYTES - 8)
    for start in range(0, total, _BLOCK_BYTES):
        yield (struct.pack("!Q", start) + noise)[: total - start]


def _send(peer: socket.socket, total: int) -> bytes:
    """The digest of what was sent."""
    digest = hashlib.sha256()
    for block in _blocks(total):
        peer.sendall(block)
        digest.update(block)
    return digest.digest()


def _receive(peer: socket.socket, total: int) -> bytes:
    """The digest of what came, up to its end."""
    digest = hashlib.sha256()
    while total and (block := peer.recv(min(total, _BLOCK_BYTES))):
        digest.update(block)
        total -= len(block)
    return digest.digest()


class _Transfer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        peer: socket.socket = self.request
        peer.settimeout(_PATIENCE_S)
        sender, total = _ORDER.unpack(peer.recv(_ORDER.size, socket.MSG_WAITALL))
        peer.sendall((_send if sender == b"s" else _receive)(peer, total))


class _Transfers(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def transfers(address: str, port: str) -> None:
    _Transfers.address_family = _family(address)
    with _Transfers((address, int(port)), _Transfer) as server:
        print("ready", flush=True)
        server.serve_forever()


def download(address: str, port: str, total: str) -> None:
    _transfer(address, port, total, b"s", _receive)


def upload(address: str, port: str, total: str) -> None:
    _transfer(address, port, total, b"c", _send)


def _transfer(
    address: str,
    port: str,
    total: str,
    sender: bytes,
    ours: Callable[[socket.socket, int], bytes],
) -> None:
    began = time.monotonic()  # noqa: TID251 - an edge
    with socket.create_connection((address, int(port)), timeout=_PATIENCE_S) as peer:
        peer.sendall(_ORDER.pack(sender, int(total)))
        digest = ours(peer, int(total))
        if peer.recv(_DIGEST_BYTES, socket.MSG_WAITALL) != digest:
            sys.exit(1)
    print(f"{time.monotonic() - began:.3f}")  # noqa: TID251


PROGRAMS: dict[str, Callable[..., None]] = {
    program.__name__: program
    for program in (
        flood,
        source,
        sink,
        numbers,
        numbered,
        whoami,
        transfers,
        download,
        upload,
    )
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
