"""Labs in the background, found again by name: a file for each in the user's runtime directory.

A file names the two processes of a lab and when they started; a process id that meanwhile belongs
to another process has another start time, so a stale file is recognised and never acted upon.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vm.machine_lab import MachineLab
from vm.namespaces import Lab, LabError


class Entry(msgspec.Struct, frozen=True):
    holder: int
    holder_started: int  # clock ticks after boot
    init: int
    init_started: int
    machine: bool = False  # the firewall is one


def directory() -> Path:
    """The user's runtime directory, made if need be. Raises LabError where it is not only ours."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    path = Path(runtime) / "sixtuple" if runtime else Path(f"/tmp/sixtuple-{os.geteuid()}")
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise LabError(
            f"{path}: {error.strerror}; set XDG_RUNTIME_DIR to a directory of yours"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise LabError(f"{path} is not a directory that only you can use (mode 0700); remove it")
    return path


def _file(name: str) -> Path:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise LabError(f"lab name {name!r}: use up to 32 of a-z, 0-9 and -")
    return directory() / f"lab-{name}.json"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """While held, nobody else starts or stops the lab of that name."""
    with _file(name).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _started(pid: int) -> int:
    """When a process started; 0 where there is none."""
    try:
        # the command's name, in brackets, may hold blanks and brackets itself
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def add(name: str, lab: Lab) -> None:
    entry = Entry(
        lab.holder, _started(lab.holder), lab.init, _started(lab.init), isinstance(lab, MachineLab)
    )
    new = _file(name).with_suffix(".new")
    new.write_bytes(msgspec.json.encode(entry))
    new.replace(_file(name))


def find(name: str) -> Lab | None:
    """The running lab of that name."""
    try:
        entry = msgspec.json.decode(_file(name).read_bytes(), type=Entry)
        lab = (MachineLab if entry.machine else Lab)(entry.holder, entry.init)
    except (FileNotFoundError, ProcessLookupError, msgspec.DecodeError):
        return None
    # checked after the Lab has hold of the processes: from then on their ids cannot change hands
    if (_started(entry.holder), _started(entry.init)) != (entry.holder_started, entry.init_started):
        return None
    return lab


def remove(name: str) -> None:
    _file(name).unlink(missing_ok=True)
