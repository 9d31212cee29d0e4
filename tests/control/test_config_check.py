"""control/config/check.py: what `sixtuple check` prints."""

from pathlib import Path

import pytest

from control.config.check import check_file


def test_a_right_file(tmp_path: Path) -> None:
    path = tmp_path / "right.set"
    path.write_text(
        "set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/24\n"
        "set network virtual-router v interface ethernet1/1\n"
        "set zone a network layer3 ethernet1/1\n"
        "set zone b\n"
        "set rulebase security rules r from a to b source any destination any action deny\n"
    )
    assert check_file(path) == (
        [f"{path}: configuration is valid (1 rules, 2 zones, 1 interfaces)"],
        0,
    )


def test_warnings_do_not_make_it_wrong(tmp_path: Path) -> None:
    path = tmp_path / "warned.set"
    path.write_text("set tag a color color1\n")
    assert check_file(str(path)) == (
        [
            f"{path}:1: warning: tag: not enforced, kept without effect",
            f"{path}: configuration is valid (0 rules, 0 zones, 0 interfaces)",
        ],
        0,
    )


def test_a_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "wrong.set"
    path.write_bytes(b"set zone a\nset zone a netwrok\n\xff\nset tag x\n")
    assert check_file(path) == (
        [
            f'{path}:2: error: zone a: unknown element "netwrok"; did you mean network?',
            f"{path}:3: error: byte 0xff in column 1 is not UTF-8 text",
            f"{path}:4: warning: tag: not enforced, kept without effect",
            f"{path}: 2 errors, 1 warnings",
        ],
        2,
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "No such file or directory"),
        ("", "Is a directory"),
        ("a\0b", "embedded null byte"),
        ("x" * 300, "File name too long"),
        ("wrong\udcff\n", "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    (line,), status = check_file(f"{tmp_path}/{name}")
    assert line.endswith(f": cannot be read: {reason}")
    assert line.isascii()
    assert line.isprintable()
    assert status == 2


def test_a_file_without_end() -> None:
    assert check_file("/dev/zero") == (
        [
            "/dev/zero: error: longer than 64 MiB; is this the right file?",
            "/dev/zero: 1 errors, 0 warnings",
        ],
        2,
    )
