"""The image's lower layer: Debian's packages, unpacked and configured by mmdebstrap.

A directory named by the hash of what decides its content (this file and packages.lock), with

    root.tar   the whole file system
    vmlinuz    the kernel in it
"""

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vm.namespaces import LabError, environment

EPOCH_S = 1_790_000_000  # the time of everything in the image
LOCK = Path(__file__).with_name("packages.lock")
RELEASE = "bookworm"
PACKAGES = (
    "linux-image-cloud-amd64",
    "tiny-initramfs",  # nobody uses it, but the kernel's package wants one that makes an initrd
    "systemd-sysv",
    "udev",
    "dbus",  # an agent's `shutdown` asks by it
    "kmod",
    "qemu-guest-agent",
    "python3",
    "iptables",
    "ebtables",
    "nftables",
    "iproute2",
    "libnetfilter-queue1",
    "libmnl0",
    "libpcap0.8",
    "iputils-ping",
    "tcpdump",
    "ethtool",
    "procps",
    "e2fsprogs",
    "less",
)
EXCLUDED = (
    *(f"/usr/share/{name}/*" for name in ("doc", "man", "locale", "info", "bug", "lintian")),
    "/lib/udev/hwdb.d/*",  # 22 MB about hardware that is not there; its package still says /lib
)
PYTHON_PACKAGE = "python:"  # before a name in packages.lock: of .venv, not Debian's
USER, USER_ID = "sixtuple", 900

_AS_ROOT = ["unshare", "--user", "--map-auto", "--map-root-user"]
_SUBORDINATE_IDS = (Path("/etc/subuid"), Path("/etc/subgid"))
_BYTES = 1_500 << 20  # downloaded packages, the unpacked system and the archive of it
_NO_PACKET_FOR_S = 30
_WITHIN_S = 1800
_NO_MIRROR = re.compile(
    r"Could not resolve|Temporary failure|Could not connect|Unable to connect|Connection (?:failed"
    r"|refused|timed out)|Cannot initiate the connection|Network is unreachable|Failed to fetch"
)
_NO_SPACE = re.compile(r"No space left on device|not enough free space", re.IGNORECASE)


def key() -> str:
    recipe = Path(__file__).read_bytes() + b"\0" + LOCK.read_bytes()
    return hashlib.sha256(recipe).hexdigest()[:12]


def demand_space(directory: Path, bytes_needed: int) -> None:
    """Raises LabError where that much is not free below a directory."""
    free = shutil.disk_usage(directory).free
    if free < bytes_needed:
        raise LabError(
            f"not enough space: {bytes_needed >> 20} MB are needed in {directory}, "
            f"{free >> 20} MB are free"
        )


def check_user() -> None:
    """Raises LabError where this user has no ids for the users of the image."""
    name = pwd.getpwuid(os.getuid()).pw_name
    for path in _SUBORDINATE_IDS:
        rows = path.read_text().splitlines() if path.exists() else []
        if not any(row.split(":")[0] in (name, str(os.getuid())) for row in rows):
            raise LabError(
                f"{path} has no line for {name}, who needs ids for the users of the image: as"
                f" root, usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
            )


def build(
    scratch: Path, log: Path, progress: Callable[[str], None], *, is_locked: bool = True
) -> Path:
    """Makes the layer in an empty directory below `scratch`, and returns that. Raises LabError.

    Locked, the recorded versions are taken as far as the mirror has them.
    """
    demand_space(scratch, _BYTES)
    layer = scratch / "base"
    layer.mkdir()
    preferences = scratch / "preferences"
    preferences.write_text(
        "".join(
            f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n"
            for name, version in (locked() if is_locked else {}).items()
            if not name.startswith(PYTHON_PACKAGE)
        )
    )
    _run(_command(layer / "root.tar", preferences), scratch, log, progress)
    _take_kernel(layer)
    return layer


def _command(tar: Path, preferences: Path) -> list[str]:
    hooks = {
        "setup": f'upload "{preferences}" /etc/apt/preferences.d/lock',
        "customize": (
            # tiny-initramfs made one; the host's would be copied into the image
            'rm -f "$1"/boot/initrd* "$1"/initrd* "$1"/etc/resolv.conf;'
            f' echo "{USER}:x:{USER_ID}:{USER_ID}::/nonexistent:/usr/sbin/nologin"'
            ' >>"$1"/etc/passwd;'
            f' echo "{USER}:x:{USER_ID}:" >>"$1"/etc/group'
        ),
    }
    return [
        "mmdebstrap",
        # inside the namespaces of _run, an ordinary user is root as well
        "--mode=root",
        "--format=tar",
        "--variant=essential",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Retries "1"',
        *(
            f'--aptopt=Acquire::{protocol}::Timeout "{_NO_PACKET_FOR_S}"'
            for protocol in ("http", "https")
        ),
        *(f"--dpkgopt=path-exclude={path}" for path in EXCLUDED),
        f"--include={','.join(PACKAGES)}",
        *(f"--{when}-hook={hook}" for when, hook in hooks.items()),
        RELEASE,
        str(tar),
    ]


def _run(command: list[str], scratch: Path, log: Path, progress: Callable[[str], None]) -> None:
    """In namespaces of its own, which end with us and take its processes and mounts along."""
    private = [
        *(_AS_ROOT if os.geteuid() else ["unshare"]),
        *("--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    ]
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *private, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={
            **environment(),
            "LC_ALL": "C.UTF-8",
            "SOURCE_DATE_EPOCH": str(EPOCH_S),
            "TMPDIR": str(scratch),
        },
        start_new_session=True,
    )
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        process.kill()

    too_late = threading.Timer(_WITHIN_S, give_up)
    too_late.daemon = True
    too_late.start()
    try:
        assert process.stdout
        with log.open("a") as copy, process.stdout as lines:
            said = []
            for line in lines:
                copy.write(line)
                said.append(line.rstrip())
                if step := re.match(r"I: ((?:running apt|down|extr|inst|creat).*)\.\.\.$", line):
                    progress(f"  {step[1]}")
        process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        too_late.cancel()
    if is_late.is_set():
        raise LabError(f"the Debian packages were not there within {_WITHIN_S} s")
    if process.returncode:
        raise _explain(said, scratch, log)


def _explain(said: list[str], scratch: Path, log: Path) -> LabError:
    """What mmdebstrap said, which gave up, as one line that helps."""

    def first(pattern: re.Pattern[str]) -> str:
        return next((line.strip() for line in said if pattern.search(line)), "")

    if line := first(_NO_SPACE):
        return LabError(f"not enough space in {scratch}: {_BYTES >> 20} MB are needed ({line})")
    if line := first(_NO_MIRROR):
        return LabError(
            f"the Debian mirror cannot be reached ({line}): the packages come from the network;"
            " where a proxy is needed, set http_proxy"
        )
    why = first(re.compile(r"^(?:E:|unshare:|newuidmap|mmdebstrap)")) or (said or ["no word"])[-1]
    return LabError(f"mmdebstrap has failed: {why} (all it said is in {log})")


def _take_kernel(layer: Path) -> None:
    with tarfile.open(layer / "root.tar") as tar:
        for member in tar:
            if re.fullmatch(r"\./boot/vmlinuz-.*", member.name) and (
                file := tar.extractfile(member)
            ):
                (layer / "vmlinuz").write_bytes(file.read())
                return
    raise LabError("the Debian packages brought no kernel")


def installed(layer: Path) -> dict[str, str]:
    """The packages of a layer and their versions."""
    with tarfile.open(layer / "root.tar") as tar:
        file = tar.extractfile("./var/lib/dpkg/status")
        assert file
        status = file.read().decode()
    found = re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.MULTILINE | re.DOTALL)
    return dict(sorted(found))


def locked() -> dict[str, str]:
    """The packages and versions that packages.lock records."""
    rows = (line for line in LOCK.read_text().splitlines() if not line.startswith("#"))
    return dict(row.split("=", 1) for row in rows)


def record(packages: Mapping[str, str]) -> None:
    """Writes packages.lock anew."""
    head = [line for line in LOCK.read_text().splitlines() if line.startswith("#")]
    rows = [f"{name}={version}" for name, version in packages.items()]
    LOCK.write_text("\n".join([*head, *rows]) + "\n")


def differences(packages: Mapping[str, str]) -> list[str]:
    """How packages are others than those recorded."""
    wanted = locked()
    return [
        f"{name} {wanted.get(name, 'not there')} -> {packages.get(name, 'not there')}"
        for name in sorted(wanted.keys() | packages.keys())
        if wanted.get(name) != packages.get(name)
    ]


def run_tool(
    command: Sequence[str], what: str, *, within_s: float, env: Mapping[str, str] | None = None
) -> None:
    """Runs a command to its end. Raises LabError with what it said where it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env={**environment(), "SOURCE_DATE_EPOCH": str(EPOCH_S), **(env or {})},
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{what}: `{command[0]}` did not end within {within_s:g} s") from None
    if done.returncode:
        said = " ".join(done.stdout.split()) or f"exit status {done.returncode}"
        raise LabError(f"{what}: `{command[0]}` has failed: {said}")


def remove(scratch: Path) -> None:
    """Removes a directory, and in it what belongs to others in a user's namespace."""
    if scratch.exists():
        command = ["rm", "-rf", str(scratch)]
        as_root = _AS_ROOT if os.geteuid() else []
        run_tool([*as_root, *command], f"removing {scratch}", within_s=120)
