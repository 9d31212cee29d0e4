"""`make vm`: the machine's image, from Debian's packages and this checkout.

    build/vm/base-KEY/root.tar, vmlinuz    Debian's packages (base.py)
    build/vm/root-KEY.ext2                 that and the checkout's code and files (payload.py)

A KEY is a hash of what goes in, so what is there is what would be built. Everything is made in
build/vm/scratch and gets its name when it is whole; build/vm/sizes tells what is not so any more,
as after a host's power cut. Who builds holds build/vm/lock.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from vm import base, payload, program
from vm.namespaces import CHECKOUT, LabError, environment
from vm.waiting import wait_until

DIRECTORY = CHECKOUT / "build" / "vm"
_TOOLS = {  # command: its Debian package
    "mmdebstrap": "mmdebstrap",
    "genext2fs": "genext2fs",
    "strip": "binutils",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
}
# the kernel, which is started from outside, and the traces of the host's apt: there is none inside
_LEFT_OUT = re.compile(r"\./(?:boot|vmlinuz.*|initrd.*|etc/apt|var/lib/apt|var/cache/apt)(?:/.*)?")
_BLOCK_BYTES = 4096
_INODE_BYTES = 128
_DIRECT, _POINTERS = 12, 1024  # blocks an inode names, and a block of numbers does
_SPARE_BLOCKS, _SPARE_INODES = 1024, 64  # of the file system itself
_ANOTHER_BUILD_WITHIN_S = 1800
_SHOWN_DIFFERENCES = 6
_SIZES = "sizes"


class Image(NamedTuple):
    kernel: Path
    root: Path  # a raw ext2 file system, to be mounted read-only

    @property
    def size_bytes(self) -> int:
        return self.kernel.stat().st_size + self.root.stat().st_size


def build(progress: Callable[[str], None], directory: Path = DIRECTORY) -> Image:
    """The image of this checkout, built as far as it is not there. Raises LabError."""
    _check()
    with _alone(directory, progress) as scratch:
        log = directory.with_suffix(".log")
        layer = directory / f"base-{base.key()}"
        if not _is_whole(layer):
            with _step("Debian packages, by mmdebstrap", progress):
                _keep(base.build(scratch, log, progress), layer)
        table = payload.files()
        recipe = f"{layer.name} {payload.key(table)} ".encode() + Path(__file__).read_bytes()
        root = directory / f"root-{hashlib.sha256(recipe).hexdigest()[:12]}.ext2"
        if not _is_whole(root):
            try:
                _tell_differences(base.installed(layer) | payload.versions(), progress)
                with _step("the checkout's code and the root file system, by genext2fs", progress):
                    _keep(_make_root(layer / "root.tar", table, scratch), root)
            except (tarfile.TarError, KeyError):
                raise LabError(f"{layer} is damaged: remove it, it is built again then") from None
        for old in {*directory.glob("base-*"), *directory.glob("root-*")} - {layer, root}:
            base.remove(old)
    return Image(layer / "vmlinuz", root)


def _is_whole(path: Path) -> bool:
    return path.exists() and f"{path.name} {_size_bytes(path)}" in _sizes(path.parent)


def _keep(made: Path, path: Path) -> None:
    """Gives what is whole its name, and notes its size before."""
    directory = path.parent
    others = [row for row in _sizes(directory) if (directory / row.partition(" ")[0]).exists()]
    base.remove(path)
    rows = [*others, f"{path.name} {_size_bytes(made)}"]
    (directory / _SIZES).write_text("\n".join(rows) + "\n")
    made.rename(path)


def _sizes(directory: Path) -> list[str]:
    file = directory / _SIZES
    return file.read_text(errors="replace").splitlines() if file.exists() else []


def _size_bytes(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def record(progress: Callable[[str], None], directory: Path = DIRECTORY) -> None:
    """Writes packages.lock with the versions the mirror has today. Raises LabError."""
    _check()
    with _alone(directory, progress) as scratch, _step("today's Debian packages", progress):
        layer = base.build(scratch, directory.with_suffix(".log"), progress, is_locked=False)
        packages = base.installed(layer) | payload.versions()
    _tell_differences(packages, progress)
    base.record(packages)


def _check() -> None:
    path = environment()["PATH"]
    tools = _TOOLS if os.geteuid() == 0 else {**_TOOLS, "newuidmap": "uidmap"}
    missing = {package for tool, package in tools.items() if not shutil.which(tool, path=path)}
    if missing:
        raise LabError(
            f"the image needs more Debian packages: apt-get install {' '.join(sorted(missing))}"
        )
    payload.check_python()
    if os.geteuid():
        base.check_user()


@contextlib.contextmanager
def _alone(directory: Path, progress: Callable[[str], None]) -> Iterator[Path]:
    """An empty directory to work in, for one build at a time."""

    def is_ours() -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    scratch = directory / "scratch"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "lock").open("w") as lock:
            if not is_ours():
                progress("another build of the image is under way: waiting for it")
                wait_until(is_ours, "the other build", seconds=_ANOTHER_BUILD_WITHIN_S, every_s=0.2)
            base.remove(scratch)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                base.remove(scratch)
    except TimeoutError as error:
        raise LabError(f"{error} (it holds {directory / 'lock'})") from None
    except BrokenPipeError:  # of whoever is told of the progress
        raise
    except OSError as error:
        raise LabError(f"{error.filename or directory}: {error.strerror}") from None


@contextlib.contextmanager
def _step(what: str, progress: Callable[[str], None]) -> Iterator[None]:
    progress(what)
    began_s = time.monotonic()  # noqa: TID251 - the lab is an edge
    yield
    progress(f"  {time.monotonic() - began_s:.1f} s")  # noqa: TID251


def _tell_differences(packages: dict[str, str], progress: Callable[[str], None]) -> None:
    found = base.differences(packages)
    if found:
        shown = ", ".join(found[:_SHOWN_DIFFERENCES])
        more = len(found) - _SHOWN_DIFFERENCES
        progress(
            f"  {len(found)} packages are others than vm/packages.lock records: {shown}"
            f"{f' and {more} more' if more > 0 else ''}"
        )


def _make_root(base_tar: Path, table: dict[str, payload.File], scratch: Path) -> Path:
    """One archive of both layers, and a file system from that."""
    base.demand_space(scratch, 3 * base_tar.stat().st_size)
    both = scratch / "both.tar"
    blocks, inodes = _merge(payload.archive(table, scratch), base_tar, both)
    root = scratch / "root.ext2"
    command = [
        *("genext2fs", "--tarball", str(both), "--block-size", str(_BLOCK_BYTES)),
        *("--size-in-blocks", str(blocks), "--number-of-inodes", str(inodes)),
        *("--reserved-percentage", "0", "--volume-label", "sixtuple", str(root)),
    ]
    base.run_tool(command, "the root file system", within_s=600)
    return root


def _merge(upper: Path, lower: Path, both: Path) -> tuple[int, int]:
    """Writes both archives as one, the upper before the lower; blocks and inodes that are needed.

    (genext2fs would take both, but an entry that comes twice changes what it must not.)
    """
    blocks = inodes = 0
    with tarfile.open(both, "w") as out, tarfile.open(upper) as above, tarfile.open(lower) as below:
        replaced = {member.name for member in above if not member.isdir()}
        seen: set[str] = set()
        for source in (below, above):
            for member in source:
                if member.name in (replaced if source is below else seen):
                    continue
                if _LEFT_OUT.fullmatch(member.name):
                    continue
                seen.add(member.name)
                out.addfile(member, source.extractfile(member) if member.isreg() else None)
                inodes += 1
                data = 1 + member.size // _BLOCK_BYTES
                blocks += data if data <= _DIRECT else data + data // _POINTERS + 2
    table_blocks = inodes * _INODE_BYTES // _BLOCK_BYTES
    return blocks + table_blocks + _SPARE_BLOCKS, inodes + _SPARE_INODES


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _show(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m vm.image", description="The VM's image.")
    parser.add_argument(
        "--lock",
        action="store_true",
        help="record the package versions the mirror has today in vm/packages.lock first",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if options.lock:
            record(_show, DIRECTORY)
        image = build(_show, DIRECTORY)
    except LabError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 2
    for path in image:
        size_mb = path.stat().st_size / 1e6
        _show(
            f"{path.relative_to(DIRECTORY.parent.parent)}  {size_mb:.0f} MB  sha256 {_hash(path)}"
        )
    return 0


if __name__ == "__main__":
    program.run(main)
