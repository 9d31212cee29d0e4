"""What is remembered outlives the process, and the file it is kept in."""

from pathlib import Path

import pytest

from control.system.errors import KernelError
from control.system.remembered import Remembered


def remembered(path: Path) -> Remembered[list[str]]:
    return Remembered(path, list[str], [])


def test_a_successor_knows_it(tmp_path: Path) -> None:
    file = tmp_path / "names.json"
    assert remembered(file).get() == []
    remembered(file).set(["eth1"])
    assert remembered(file).get() == ["eth1"]
    remembered(file).forget()
    assert remembered(file).get() == []
    assert not file.exists()


def test_it_outlives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "state" / "names.json"
    file.parent.mkdir()
    names = remembered(file)
    names.set(["eth1"])
    file.unlink()
    file.parent.rmdir()
    with pytest.raises(KernelError) as error:
        names.set(["eth2"])
    assert str(error.value) == f"{file}: No such file or directory"
    assert names.get() == ["eth1"]
    names.forget()
    assert names.get() == []


@pytest.mark.parametrize("kept", [0, 1, 40, 45, -1])
def test_a_file_that_was_cut_off_counts_as_none(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "names.json"
    remembered(file).set(["eth1"])
    file.write_bytes(file.read_bytes()[:kept])
    assert remembered(file).get() == []


@pytest.mark.parametrize("content", [b"7", b'["eth1"]', b'["boot", ["eth1"], 7]'])
def test_a_file_of_something_else_counts_as_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "names.json"
    file.write_bytes(content)
    assert remembered(file).get() == []


def test_what_was_before_a_reboot_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "names.json"
    with monkeypatch.context() as before:
        before.setattr("control.system.remembered._boot", lambda: "another")
        remembered(file).set(["eth1"])
        assert remembered(file).get() == ["eth1"]
    assert remembered(file).get() == []
    remembered(file).set(["eth2"])
    assert remembered(file).get() == ["eth2"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    file, target = tmp_path / "names.json", tmp_path / "target"
    target.write_text('["eth1"]')
    file.symlink_to(target)
    for use in (remembered(file).get, lambda: remembered(file).set([])):
        with pytest.raises(KernelError) as error:
            use()
        assert str(error.value) == f"{file}: Too many levels of symbolic links"
    assert target.read_text() == '["eth1"]'
