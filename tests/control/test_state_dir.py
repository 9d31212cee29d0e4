"""The state directory: whose it may be, and who may use it at the same time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from control import state_dir
from control.state_dir import Locks, StateDirError
from tests.support.private import ROOT, in_namespace


@pytest.mark.parametrize(
    ("environment", "uid", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, 0, "/var/lib/a"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, 0, "/run/sixtuple"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, 7, "/run/user/7/sixtuple"),
        ({}, 7, "/tmp/sixtuple-7"),
    ],
)
def test_default(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], uid: int, expected: str
) -> None:
    for name in ("STATE_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert state_dir.default() == Path(expected)


def test_a_service_is_found_by_the_user_it_runs_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(state_dir, "_OF_THE_SERVICE", tmp_path)
    assert state_dir.default() == tmp_path
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert state_dir.default() != tmp_path


def test_logs_have_a_directory_of_their_own(tmp_path: Path) -> None:
    state_dir.prepare_logs(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    rows = {
        "file": f"log directory {tmp_path}/file is a file; name another with --log-dir",
        "file/below": f"cannot make log directory {tmp_path}/file/below: Not a directory; "
        "name another with --log-dir",
    }
    for name, message in rows.items():
        with pytest.raises(StateDirError) as error:
            state_dir.prepare_logs(tmp_path / name)
        assert str(error.value) == message


def test_made_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state_dir.prepare(path)
    assert path.stat().st_mode & 0o777 == 0o700
    state_dir.prepare(path)


def test_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    rows = {
        "file": f"state directory {tmp_path}/file is a file; name another with --state-dir",
        "file/below": f"cannot make state directory {tmp_path}/file/below: Not a directory; "
        "name another with --state-dir",
        "open": f"others can write to state directory {tmp_path}/open: chmod 700 it, "
        "or name another with --state-dir",
        "link": f"state directory {tmp_path}/link is not a directory of our own; "
        "name another with --state-dir",
        "x" * 108: f"state directory {tmp_path}/{'x' * 108}: too long a path for a socket; "
        "name another with --state-dir",
    }
    for name, message in rows.items():
        with pytest.raises(StateDirError) as error:
            state_dir.prepare(tmp_path / name)
        assert str(error.value) == message


def test_a_link_for_a_lock_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(StateDirError) as error:
        Locks(tmp_path)
    assert str(error.value) == f"cannot write {tmp_path}/lock: Too many levels of symbolic links"
    assert not target.exists()


HOLD = "import sys; from control.state_dir import Locks; from pathlib import Path; "
HOLD += "lock = Locks(Path(sys.argv[1])); print(1, flush=True); sys.stdin.read()"


@in_namespace
def test_one_firewall_a_directory_and_a_namespace() -> None:
    first, second = Path("/run/first"), Path("/run/second")
    for path in (first, second):
        state_dir.prepare(path)
    command = [sys.executable, "-c", HOLD, str(first)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        for path, message in (
            (first, f"another firewall (pid {holder.pid}) uses state directory /run/first"),
            (second, f"another firewall (pid {holder.pid}) runs in this network namespace"),
        ):
            with pytest.raises(StateDirError) as error:
                Locks(path)
            assert str(error.value).startswith(message), error.value
        holder.kill()
    with Locks(first):
        pass
    with Locks(second):
        pass
