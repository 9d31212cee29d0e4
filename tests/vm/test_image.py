"""The image of the machine: what is built when, what is said when it cannot be, and its bytes.

The tools that build it are stand-ins that leave a note of what they were asked to do, but in the
last tests, which are the real thing.
"""

import contextlib
import fcntl
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from vm import base, image, payload
from vm.namespaces import CHECKOUT, LabError, environment
from vm.waiting import wait_until

Usage = namedtuple("Usage", "total used free")
TABLE = {
    "opt/sixtuple/control/x.py": payload.File(b"ONE = 1\n", 0o644),
    "etc/hostname": payload.File(b"firewall\n", 0o644),
}
# The archive is the last argument; what is to happen beside that is a script of the test's.
MMDEBSTRAP = """#!/bin/sh
for tar; do :; done
. "$(dirname "$0")/happens"
echo mmdebstrap >>"$(dirname "$0")/asked"
echo "I: extracting archives..."
cp "$(dirname "$0")/base.tar" "$tar"
"""
GENEXT2FS = """#!/bin/sh
echo genext2fs >>"$(dirname "$0")/asked"
for root; do :; done
cp "$2" "$root"
"""
# with no namespaces; its options with a value are the program's
UNSHARE = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
"""


def archive(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return path


class Tools:
    """The stand-ins, in a directory that comes first."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        (place / "happens").touch()
        (place / "asked").touch()
        self.put("mmdebstrap", MMDEBSTRAP)
        self.put("genext2fs", GENEXT2FS)
        files = {
            "boot/vmlinuz-6.1": "kernel",
            "etc/apt/sources.list": "deb http://deb.test bookworm main",
            "etc/hostname": "debian\n",
            "var/lib/dpkg/status": "Package: less\nStatus: x\nVersion: 590-2\n",
        }
        archive(place / "base.tar", files)

    def put(self, name: str, script: str) -> None:
        (self.place / name).write_text(script)
        (self.place / name).chmod(0o755)

    def happen(self, script: str) -> None:
        (self.place / "happens").write_text(script)

    def asked(self) -> list[str]:
        words = (self.place / "asked").read_text().split()
        (self.place / "asked").write_text("")
        return words


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    tools = Tools(tmp_path / "tools")
    tools.put("unshare", UNSHARE)
    tools.put("newuidmap", "")
    lock = tmp_path / "packages.lock"
    lock.write_text("# recorded\nless=590-2\n")
    monkeypatch.setenv("PATH", f"{tools.place}:{os.environ['PATH']}")
    monkeypatch.setattr(base, "LOCK", lock)
    monkeypatch.setattr(base, "check_user", lambda: None)
    monkeypatch.setattr(payload, "files", lambda: TABLE)
    monkeypatch.setattr(payload, "versions", dict)
    return tools


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "build" / "vm"


def quiet(line: str) -> None:
    pass


def names(directory: Path) -> list[str]:
    """What is there, without the hashes."""
    return sorted(path.name.partition("-")[0] for path in directory.iterdir())


# ---- what is built when --------------------------------------------------------------------------


def test_what_is_there_is_not_built_again(
    tools: Tools, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = image.build(quiet, directory)
    assert tools.asked() == ["mmdebstrap", "genext2fs"]
    assert first.kernel.read_text() == "kernel"
    assert first.size_bytes == len("kernel") + first.root.stat().st_size
    assert image.build(quiet, directory) == first
    assert tools.asked() == []

    code = {**TABLE, "opt/sixtuple/control/y.py": payload.File(b"TWO = 2\n", 0o644)}
    monkeypatch.setattr(payload, "files", lambda: code)
    second = image.build(quiet, directory)
    assert tools.asked() == ["genext2fs"]
    assert (second.kernel, second.root) == (first.kernel, second.root)
    assert names(directory) == ["base", "lock", "root", "sizes"]

    base.record({"less": "591-1"})
    third = image.build(quiet, directory)
    assert tools.asked() == ["mmdebstrap", "genext2fs"]
    assert third.kernel != first.kernel
    assert names(directory) == ["base", "lock", "root", "sizes"]


@pytest.mark.parametrize(
    ("damaged", "asked"),
    [
        ("root-*.ext2", ["genext2fs"]),
        ("base-*/root.tar", ["mmdebstrap"]),
        ("base-*/vmlinuz", ["mmdebstrap"]),
        ("sizes", ["mmdebstrap", "genext2fs"]),
    ],
)
@pytest.mark.parametrize("content", [b"", None])
def test_what_a_power_cut_left_half_is_built_again(
    damaged: str, asked: list[str], content: bytes | None, tools: Tools, directory: Path
) -> None:
    first = image.build(quiet, directory)
    tools.asked()
    (path,) = directory.glob(damaged)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert image.build(quiet, directory) == first
    assert tools.asked() == asked
    assert first.kernel.read_text() == "kernel"
    assert image.build(quiet, directory) == first
    assert tools.asked() == []


def test_a_damaged_layer_is_named(tools: Tools, directory: Path) -> None:
    tools.put("genext2fs", "#!/bin/sh\nexit 1\n")
    with pytest.raises(LabError, match="genext2fs"):
        image.build(quiet, directory)
    (tar,) = directory.glob("base-*/root.tar")
    tar.write_bytes(b"x" * tar.stat().st_size)
    with pytest.raises(LabError, match=r"base-\w+ is damaged: remove it"):
        image.build(quiet, directory)


def test_steps_are_told_with_what_they_took(tools: Tools, directory: Path) -> None:
    said: list[str] = []
    image.build(said.append, directory)
    assert said[:2] == ["Debian packages, by mmdebstrap", "  extracting archives"]
    assert [line[-2:] for line in said if line.endswith(" s")] == [" s", " s"]
    assert "extracting" in directory.with_suffix(".log").read_text()


def test_the_code_goes_over_the_packages(tools: Tools, directory: Path) -> None:
    root = image.build(quiet, directory).root
    with tarfile.open(root) as tar:
        found = tar.getnames()
        hostname = tar.extractfile("./etc/hostname")
        assert hostname
        assert hostname.read() == b"firewall\n"
    assert len(found) == len(set(found))
    assert "./opt/sixtuple/control/__pycache__/x.cpython-311.pyc" in found
    assert f"./{payload.STATE}" in found
    assert not [name for name in found if name.startswith(("./boot", "./etc/apt"))]


def test_recorded_versions_are_preferred_and_others_told(tools: Tools, directory: Path) -> None:
    base.record({"less": "590-1", "python:rich": "15.0.0", "zlib1g": "1:1.2"})
    tools.happen('cp "$(dirname "$tar")/../preferences" "$(dirname "$0")"')
    said: list[str] = []
    image.build(said.append, directory)
    preferences = (tools.place / "preferences").read_text()
    assert "Package: less\nPin: version 590-1\nPin-Priority: 1001\n" in preferences
    assert "python:" not in preferences
    assert [line for line in said if "packages.lock" in line] == [
        "  3 packages are others than vm/packages.lock records: less 590-1 -> 590-2,"
        " python:rich 15.0.0 -> not there, zlib1g 1:1.2 -> not there"
    ]


def test_versions_are_recorded_anew(tools: Tools, directory: Path) -> None:
    base.record({"less": "590-1"})
    image.record(quiet, directory)
    assert base.LOCK.read_text() == "# recorded\nless=590-2\n"
    assert names(directory) == ["lock"]


def test_a_second_build_waits_for_the_first(tools: Tools, directory: Path) -> None:
    directory.mkdir(parents=True)
    said: list[str] = []
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=image.build, args=(said.append, directory))
        thread.start()
        wait_until(lambda: bool(said), "the second build says something", seconds=20)
        assert tools.asked() == []
    thread.join(60)
    assert said[0] == "another build of the image is under way: waiting for it"
    assert tools.asked() == ["mmdebstrap", "genext2fs"]


# ---- what is said when it cannot be --------------------------------------------------------------

FAILURES = [
    (
        "echo \"Err:1 http://deb.test Temporary failure resolving 'deb.test'\"; exit 1",
        r"the Debian mirror cannot be reached \(Err:1 .* failure resolving 'deb.test'\): .*proxy$",
    ),
    ("echo 'E: Unable to connect to deb.test:http:'; exit 1", "mirror cannot be reached"),
    (
        "echo 'dpkg: error: cannot write: No space left on device'; exit 1",
        r"not enough space in .*: \d+ MB are needed \(dpkg: error",
    ),
    (
        "echo 'I: begins'; echo 'E: the package is broken'; echo 'I: tidies up'; exit 25",
        r"mmdebstrap has failed: E: the package is broken \(all it said is in .*vm.log\)$",
    ),
    ("exit 3", r"mmdebstrap has failed: no word"),
    ("kill -9 $$", r"mmdebstrap has failed: no word"),
]


@pytest.mark.parametrize(("happens", "line"), FAILURES)
def test_packages_that_do_not_come_are_one_line(
    tools: Tools, directory: Path, happens: str, line: str
) -> None:
    tools.happen(happens)
    with pytest.raises(LabError, match=line) as caught:
        image.build(quiet, directory)
    assert "\n" not in str(caught.value)
    assert names(directory) == ["lock"]


def test_packages_that_take_too_long_are_given_up(
    tools: Tools, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_WITHIN_S", 0.2)
    tools.happen("exec sleep 1000")
    with pytest.raises(LabError, match=r"were not there within 0.2 s"):
        image.build(quiet, directory)
    assert names(directory) == ["lock"]


def test_a_file_system_that_cannot_be_made_is_one_line(tools: Tools, directory: Path) -> None:
    tools.put("genext2fs", "#!/bin/sh\necho 'no free\nblocks' >&2\nexit 1\n")
    with pytest.raises(LabError, match=r"`genext2fs` has failed: no free blocks$"):
        image.build(quiet, directory)
    assert names(directory) == ["base", "lock", "sizes"]


def test_a_directory_that_cannot_be_written_is_named(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match=f"{tmp_path}/file/vm: Not a directory"):
        image.build(quiet, tmp_path / "file" / "vm")


def test_space_is_asked_for_first(
    tools: Tools, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(9 << 30, 0, 5 << 20))
    needed = rf"not enough space: \d+ MB are needed in {directory}/scratch, 5 MB are free$"
    with pytest.raises(LabError, match=needed):
        image.build(quiet, directory)
    assert tools.asked() == []


def test_missing_tools_are_named_with_their_packages(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"no-such-tool": "no-such-package", "sh": "dash"}
    monkeypatch.setattr(image, "_TOOLS", wanted)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LabError, match=r"apt-get install no-such-package$"):
        image.build(quiet, directory)


def test_another_python_than_the_guests_is_refused(
    tools: Tools, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "PYTHON", (3, 99))
    with pytest.raises(LabError, match=r"the image has Python 3.99 .* this is 3\.\d+\.\d+"):
        image.build(quiet, directory)


def test_a_user_without_subordinate_ids_is_told_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tmp_path / "subuid"
    monkeypatch.setattr(base, "_SUBORDINATE_IDS", (ids,))
    for content in (None, "somebody:100000:65536\n"):
        if content:
            ids.write_text(content)
        with pytest.raises(LabError, match=f"{ids} has no line for .*usermod --add-subuids"):
            base.check_user()
    ids.write_text(f"{os.getuid()}:100000:65536\n")
    base.check_user()


# ---- interrupted ---------------------------------------------------------------------------------


def running(place: Path) -> list[str]:
    """Commands that are at work below a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = entry.read_bytes().decode(errors="replace").replace("\0", " ")
            if f"{place}/" in command:
                found.append(command)
    return found


@pytest.mark.netns
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_an_interrupted_build_runs_or_stays(
    tmp_path: Path, directory: Path, end: signal.Signals
) -> None:
    tools = Tools(tmp_path / "tools")
    tools.happen('mount -t tmpfs none "$TMPDIR"; touch "$TMPDIR/mounted"; sleep 1000 & wait\n')
    program = (
        "import sys; from pathlib import Path; from vm import image\n"
        f"image.DIRECTORY = Path({str(directory)!r})\n"
        "sys.argv = ['image']\n"
        "sys.exit(image.main())\n"
    )
    env = environment()
    env["PATH"] = f"{tools.place}:{env['PATH']}"
    as_root = ["unshare", "--user", "--map-root-user"] if os.geteuid() else []
    with subprocess.Popen(
        [*as_root, sys.executable, "-c", program],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(
                lambda: len(running(directory)) > 1 and (directory / "scratch" / "base").is_dir(),
                "mmdebstrap is at work",
                seconds=30,
            )
        finally:
            process.send_signal(end)
    assert process.returncode not in (0, 2)
    wait_until(lambda: not running(directory), "nothing runs", seconds=10)
    assert str(directory) not in Path("/proc/self/mounts").read_text()
    if end is not signal.SIGKILL:
        assert names(directory) == ["lock"]


def test_the_next_build_removes_what_was_left(tools: Tools, directory: Path) -> None:
    left = directory / "scratch" / "base"
    left.mkdir(parents=True)
    (left / "root.tar").write_text("half")
    built = image.build(quiet, directory)
    assert built.kernel.read_text() == "kernel"
    assert names(directory) == ["base", "lock", "root", "sizes"]


# ---- the checkout's part -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files() -> dict[str, payload.File]:
    return payload.files()


@pytest.fixture(scope="module")
def made(files: dict[str, payload.File], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return payload.archive(files, tmp_path_factory.mktemp("made"))


def test_the_archive_does_not_depend_on_where_and_when(
    files: dict[str, payload.File], made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    again = payload.archive(dict(reversed(files.items())), tmp_path)
    assert again.read_bytes() == made.read_bytes()
    assert str(CHECKOUT).encode() not in made.read_bytes()


def test_every_change_has_another_name(files: dict[str, payload.File]) -> None:
    name, file = next(iter(files.items()))
    others = (
        {**files, name: file._replace(content=file.content + b"\n")},
        {**files, name: file._replace(mode=0o700)},
        {**files, f"{name}.more": file},
        {other: files[other] for other in files if other != name},
    )
    assert len({payload.key(table) for table in (files, *others)}) == 1 + len(others)


def test_all_that_is_imported_is_in_it(made: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", made, "-C", tmp_path, f"./{payload.CODE}"], check=True)
    program = (
        "import importlib, pkgutil, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "for room in ('native', 'dataplane', 'control'):\n"
        "    package = importlib.import_module(room)\n"
        "    for module in pkgutil.walk_packages(package.__path__, f'{room}.'):\n"
        "        try:\n"
        "            importlib.import_module(module.name)\n"
        "        except ModuleNotFoundError as error:\n"
        "            print(module.name, error.name)\n"
        "from control.version import version\n"
        "print(version())\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(tmp_path / payload.CODE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[:-1] == ["control.replay.plot matplotlib"]
    assert lines[-1] != "0+unknown"


def test_the_guests_files_lie_where_they_lie_here(files: dict[str, payload.File]) -> None:
    assert files["usr/bin/sixtuple"].mode == 0o755
    assert files[payload.CONFIG].content == (CHECKOUT / "vm" / "lab.set").read_bytes()
    masked = files["etc/systemd/system/getty@tty1.service"]
    assert (masked.content, masked.is_link) == (b"/dev/null", True)


# ---- the real thing ------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.vm
def test_two_builds_have_the_same_bytes(tmp_path: Path) -> None:
    one, other = image.build(quiet), image.build(quiet, tmp_path / "a b" / "vm")
    assert one.root != other.root
    assert [sha256(path) for path in one] == [sha256(path) for path in other]


@pytest.mark.vm
@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/opt/sixtuple/control/main.py", "Mode:  0644"),
        ("/usr/bin/sixtuple", "Mode:  0755"),
        ("/usr/sbin/iptables", 'Fast link dest: "/etc/alternatives/iptables"'),
        ("/etc/systemd/system/getty@tty1.service", 'Fast link dest: "/dev/null"'),
        ("/var/lib/sixtuple", "Type: directory"),
    ],
)
def test_the_file_system_has_what_was_meant(path: str, wanted: str) -> None:
    done = subprocess.run(
        ["debugfs", "-R", f"stat {path}", str(image.build(quiet).root)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert wanted in done.stdout


@pytest.mark.vm
def test_the_file_system_is_sound() -> None:
    done = subprocess.run(
        ["e2fsck", "-fn", str(image.build(quiet).root)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
