"""The state directory: sockets, logs and what a firewall leaves for its successor.

Two locks keep firewalls apart: one in the directory, and one of the network namespace (hook, queue
and forwarding exist once in it). The kernel gives both back when the process that holds them ends.
"""

import errno
import fcntl
import os
import socket
import stat
import struct
from pathlib import Path
from typing import BinaryIO, Self

CLI_SOCKET = "cli.sock"
DATAPLANE_SOCKET = "dataplane.sock"
DATAPLANE_COMMAND = "dataplane.json"  # how the running dataplane was started
DATAPLANE_STDERR = "dataplane.stderr"
TRAFFIC_LOG = "traffic.log"
THREAT_LOG = "threat.log"

_LOCK = "lock"
_NAMESPACE_LOCK = "\0sixtuple"  # an abstract address: one for each network namespace
_PEER = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_LONGEST_SOCKET_PATH = 107  # struct sockaddr_un


class StateDirError(Exception):
    """Why the directory cannot be used; one line."""


_OF_THE_SERVICE = Path("/run/sixtuple")


def default() -> Path:
    """Where a firewall of this user is by itself, and where its command line looks for it."""
    if given := os.environ.get("STATE_DIRECTORY"):  # systemd; several are separated by colons
        return Path(given.split(":")[0])
    if os.geteuid() == 0 or _is_own(_OF_THE_SERVICE):
        return _OF_THE_SERVICE
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "sixtuple"
    return Path(f"/tmp/sixtuple-{os.geteuid()}")


def prepare(path: Path) -> None:
    """Makes it for this user alone, or checks that others cannot write to it."""
    hint = "name another with --state-dir"
    longest = path.absolute() / DATAPLANE_SOCKET
    if len(os.fsencode(longest)) > _LONGEST_SOCKET_PATH:
        raise StateDirError(f"state directory {path}: too long a path for a socket; {hint}")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except FileExistsError:
        raise StateDirError(f"state directory {path} is a file; {hint}") from None
    except OSError as error:
        raise StateDirError(
            f"cannot make state directory {path}: {error.strerror}; {hint}"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StateDirError(f"state directory {path} is not a directory of our own; {hint}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateDirError(f"others can write to state directory {path}: chmod 700 it, or {hint}")


def prepare_logs(path: Path) -> None:
    """Makes the directory of the logs where it is another one."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise StateDirError(
            f"log directory {path} is a file; name another with --log-dir"
        ) from None
    except OSError as error:
        raise StateDirError(
            f"cannot make log directory {path}: {error.strerror}; name another with --log-dir"
        ) from None


def no_follow(path: str, flags: int) -> int:
    """The opener for files in it: a link somebody put there leads nowhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _is_own(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.geteuid()
    except OSError:
        return False


class Locks:
    """Held until close, or until the process ends."""

    def __init__(self, path: Path) -> None:
        """Raises StateDirError where another firewall holds one of them."""
        self._file = _lock_directory(path)
        try:
            self._socket = _lock_namespace()
        except StateDirError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()
        self._file.close()


def _lock_directory(path: Path) -> BinaryIO:
    file = path / _LOCK
    try:
        lock = open(file, "ab+", opener=no_follow)  # noqa: SIM115 - held until close
    except OSError as error:
        raise StateDirError(f"cannot write {file}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        pid = lock.read(20).decode("ascii", "replace").strip()
        lock.close()
        raise StateDirError(
            f"another firewall (pid {pid}) uses state directory {path}; "
            "name another with --state-dir"
        ) from None
    lock.truncate(0)
    lock.write(b"%d\n" % os.getpid())
    lock.flush()
    return lock


def _lock_namespace() -> socket.socket:
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(_NAMESPACE_LOCK)
        lock.listen()
    except OSError as error:
        lock.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise StateDirError(
            f"another firewall{_holder()} runs in this network namespace: stop it, "
            "or start this one in a namespace of its own"
        ) from None
    return lock


def _holder() -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(_NAMESPACE_LOCK)
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        except OSError:
            return ""
    return f" (pid {_PEER.unpack(credentials)[0]})"
