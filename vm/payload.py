"""The image's upper layer: what of this checkout runs in the machine.

    /opt/sixtuple    the packages of the checkout and what they need of .venv, compiled
    /                the files below vm/guest/root, where they lie there

Everything is read into a table of files first: its hash names the finished image, and the same
table gives the same archive wherever the checkout is.
"""

import hashlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from vm.base import EPOCH_S, PYTHON_PACKAGE, run_tool
from vm.namespaces import CHECKOUT, LabError

CODE = "opt/sixtuple"
CONFIG = "usr/share/sixtuple/config.set"  # what the firewall starts with for the first time
GUEST = Path(__file__).with_name("guest") / "root"
PYTHON = (3, 11)  # the guest's: what is compiled for another cannot be used there
STATE = "var/lib/sixtuple"  # where the data disk is mounted

_PACKAGES = ("native", "dataplane", "control")
_BUILD_ONLY = ("native/build_ffi.py", "native/tests/")
_CODE_SUFFIXES = {".py", ".so", ".toml", ".typed"}
# what only `replay --plot` needs, which says so, and what only this room does
_LEFT_OUT = {"matplotlib", "packaging"}
# what an installation writes about itself, and sources nobody imports
_NOT_COPIED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_NOT_COPIED_SUFFIXES = {".pyc", ".pyi", ".pyx", ".pxd", ".c", ".h"}


class File(NamedTuple):
    content: bytes  # of a symbolic link, where it leads
    mode: int
    is_link: bool = False


def check_python() -> None:
    """Raises LabError where this Python is not the guest's, or the engine is not built."""
    if sys.version_info[:2] != PYTHON:
        raise LabError(
            f"the image has Python {'.'.join(map(str, PYTHON))} and needs extensions compiled for"
            f" it, this is {sys.version.split()[0]}: remove .venv and run `make setup` with"
            " Debian 12's python3"
        )
    if not list((CHECKOUT / "native").glob("_engine*.so")):
        raise LabError("the C engine is not built: run `make setup`")


def files() -> dict[str, File]:
    """Everything by its path in the guest. Raises LabError."""
    check_python()
    found = {}
    for package in _PACKAGES:
        for source in sorted((CHECKOUT / package).rglob("*")):
            name = source.relative_to(CHECKOUT).as_posix()
            if source.suffix in _CODE_SUFFIXES and not name.startswith(_BUILD_ONLY):
                found[f"{CODE}/{name}"] = _file(source, is_built_here=True)
    for distribution in distributions():
        found.update(_files_of(distribution))
    own = metadata.distribution("sixtuple")
    about = f"Metadata-Version: 2.1\nName: sixtuple\nVersion: {own.version}\n"
    found[f"{CODE}/sixtuple-{own.version}.dist-info/METADATA"] = File(about.encode(), 0o644)
    found[CONFIG] = _file(Path(__file__).with_name("lab.set"))
    for source in sorted(GUEST.rglob("*")):
        if source.is_symlink() or source.is_file():
            found[source.relative_to(GUEST).as_posix()] = _file(source)
    return found


def distributions() -> list[metadata.Distribution]:
    """What the checkout's packages need, and what that needs, as .venv has it."""
    found: dict[str, metadata.Distribution] = {}
    waiting = ["sixtuple"]
    while waiting:
        name = waiting.pop()
        if name in found or name in _LEFT_OUT:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise LabError(f"{name} is not installed in .venv: run `make setup`") from None
        for line in found[name].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name.lower())
    del found["sixtuple"]
    return [found[name] for name in sorted(found)]


def versions() -> dict[str, str]:
    """The packages of .venv in the image, named as packages.lock does."""
    return {f"{PYTHON_PACKAGE}{one.name.lower()}": one.version for one in distributions()}


def _files_of(distribution: metadata.Distribution) -> Iterator[tuple[str, File]]:
    # a wheel for this platform alone, not for many Linuxes, was compiled here
    is_built_here = "-linux_" in (distribution.read_text("WHEEL") or "")
    for path in distribution.files or []:
        if (
            ".." not in path.parts
            and path.name not in _NOT_COPIED
            and path.suffix not in _NOT_COPIED_SUFFIXES
        ):
            source = Path(str(distribution.locate_file(path)))
            yield f"{CODE}/{path.as_posix()}", _file(source, is_built_here=is_built_here)


def _file(source: Path, *, is_built_here: bool = False) -> File:
    if source.is_symlink():
        return File(os.readlink(source).encode(), 0o777, is_link=True)
    if is_built_here and source.suffix == ".so":
        return File(_stripped(source), 0o644)
    return File(source.read_bytes(), 0o755 if os.access(source, os.X_OK) else 0o644)


def _stripped(library: Path) -> bytes:
    """A library without what names the directory it was compiled in."""
    with tempfile.NamedTemporaryFile() as stripped:  # strip seeks: no pipe will do
        command = ["strip", "--strip-unneeded", "--remove-section=.note.gnu.build-id"]
        command += ["-o", stripped.name, str(library)]
        run_tool(command, f"debug information of {library.name}", within_s=60)
        return Path(stripped.name).read_bytes()


def key(table: dict[str, File]) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode())
    for name, file in sorted(table.items()):
        digest.update(f"\0{name}\0{file.mode:o}\0{file.is_link}\0".encode())
        digest.update(hashlib.sha256(file.content).digest())
    return digest.hexdigest()[:12]


def archive(table: dict[str, File], scratch: Path) -> Path:
    """The table as a tar file, with its Python compiled: a read-only root can keep no .pyc."""
    tree = scratch / "payload"
    for name, file in table.items():
        place = tree / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.is_link:
            place.symlink_to(file.content.decode())
        else:
            place.write_bytes(file.content)
            place.chmod(file.mode)
    (tree / STATE).mkdir(parents=True)
    _compile(tree)
    path = scratch / "payload.tar"
    with tarfile.open(path, "w") as tar:
        for source in sorted(tree.rglob("*")):
            member = tar.gettarinfo(source, f"./{source.relative_to(tree).as_posix()}")
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = EPOCH_S
            if member.isdir():
                member.mode = 0o755
            tar.addfile(member, io.BytesIO(source.read_bytes()) if member.isreg() else None)
    shutil.rmtree(tree)
    return path


def _compile(tree: Path) -> None:
    command = [
        *(sys.executable, "-m", "compileall", "-q", "-j", "1"),
        # never looked at the source again: nobody changes it
        *("--invalidation-mode", "unchecked-hash", "-s", str(tree), "-p", "/"),
        str(tree / CODE),
    ]
    # hashes decide the order of some constants
    run_tool(command, "compiling the payload", within_s=600, env={"PYTHONHASHSEED": "0"})
