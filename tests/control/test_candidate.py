"""Candidate configurations: files beside the one a firewall was started with, and differences."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import candidate
from control.config.load import LoadedConfig, UnreadableError, load_config

LINES = st.lists(st.sampled_from([f"set zone z{n}" for n in range(12)]), unique=True)


def config(*zones: str) -> LoadedConfig:
    return load_config("".join(f"set zone {zone}\n" for zone in zones).encode(), "x")


@given(LINES, LINES)
def test_differences_make_the_new_of_the_old(old: list[str], new: list[str]) -> None:
    lines = list(candidate.differences(old, new))
    gone = [line[2:] for line in lines if line.startswith("- ")]
    come = [line[2:] for line in lines if line.startswith("+ ")]
    assert len(gone) + len(come) == len(lines)
    kept = [line for line in old if line not in gone]
    assert kept == [line for line in new if line not in come]
    if sorted(old) == sorted(new):
        assert sorted(gone) == sorted(come)  # moved


@given(LINES, LINES)
def test_no_more_is_different_than_has_to_be(old: list[str], new: list[str]) -> None:
    longest = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, one in enumerate(old):
        for j, other in enumerate(new):
            longest[i + 1][j + 1] = (
                longest[i][j] + 1 if one == other else max(longest[i][j + 1], longest[i + 1][j])
            )
    count = len(list(candidate.differences(old, new)))
    assert count == len(old) + len(new) - 2 * longest[-1][-1]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("abc", "abc", []),
        ("abc", "axc", ["- b", "+ x"]),
        ("abc", "bca", ["- a", "+ a"]),
        ("", "ab", ["+ a", "+ b"]),
        ("aab", "ab", ["- a"]),
    ],
)
def test_differences(old: str, new: str, lines: list[str]) -> None:
    assert list(candidate.differences(old, new)) == lines


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "new.set"
    assert candidate.save(config("trust"), path) is None
    assert path.read_text() == "set zone trust\n"
    assert candidate.read(path).tree == config("trust").tree
    assert [one.name for one in tmp_path.iterdir()] == ["new.set"]


def test_what_a_file_replaces_is_kept(tmp_path: Path) -> None:
    path, previous = tmp_path / "new.set", tmp_path / "new.set.previous"
    candidate.save(config("one"), path)
    path.chmod(0o640)
    for zone, before in (("two", "one"), ("three", "two")):
        assert candidate.save(config(zone), path) == previous
        assert previous.read_text() == f"set zone {before}\n"
        assert path.read_text() == f"set zone {zone}\n"
        assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("content", ["root:x:0:0:root:/root:/bin/sh\n", "<config/>", "set zone\n"])
def test_nothing_but_a_configuration_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "passwd"
    path.write_text(content)
    with pytest.raises(FileExistsError, match="no configuration; choose another name"):
        candidate.save(config("trust"), path)
    assert path.read_text() == content
    with pytest.raises(FileExistsError):
        candidate.save(config("trust"), tmp_path)


def test_what_is_saved_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new.set"
    flushed: list[tuple[int, bool]] = []

    def fsync(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    candidate.save(config("trust"), path)
    assert flushed == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_where_there_is_no_directory_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        candidate.save(config("trust"), tmp_path / "none" / "new.set")


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.set")
    for path in (tmp_path / "pipe.set", Path("/dev/zero"), tmp_path):
        with pytest.raises(UnreadableError, match=f"^{path}: cannot be read: it is no regular"):
            candidate.load(path)
    with pytest.raises(FileExistsError):
        candidate.save(config("trust"), tmp_path / "pipe.set")
    with pytest.raises(UnreadableError, match="No such file"):
        candidate.load(tmp_path / "none.set")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.set").symlink_to("new.set")
    assert candidate.save(config("one"), tmp_path / "link.set") is None
    assert candidate.save(config("two"), tmp_path / "link.set") == tmp_path / "new.set.previous"
    assert (tmp_path / "link.set").is_symlink()
    assert (tmp_path / "new.set").read_text() == "set zone two\n"


def test_files_of_the_kind_are_offered(tmp_path: Path) -> None:
    for name in ("fire.set", "other.set", "notes.txt", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "directory.set").mkdir()
    assert candidate.files(tmp_path / "fire.set") == ["fire.set", "other.set"]
    assert candidate.files(tmp_path / "none" / "fire.set") == []
