"""The command line: what is understood, and one line for what is not."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from control import main as command_line
from dataplane.offload import PROFILES
from tests.support.private import ROOT


def lab(arguments: list[str]) -> int:
    """Stands for a command another package brings."""
    print(f"lab {arguments}")
    return 7


def interrupted(arguments: list[str]) -> int:
    raise KeyboardInterrupt


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == "sixtuple.commands"
        return [
            EntryPoint(name, f"{__name__}:{function}", group)
            for name, function in (("lab", "lab"), ("stopped", "interrupted"))
        ]

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)


def outcome(call: Callable[[], int]) -> int | str | None:
    try:
        return call()
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "sixtuple: a command is missing (see sixtuple --help)"),
        ("--nothing", "sixtuple: unrecognized arguments: --nothing (see sixtuple --help)"),
        (
            "run",
            "sixtuple run: the following arguments are required: --config "
            "(see sixtuple run --help)",
        ),
        (
            "run --config f --port eth1",
            "sixtuple run: argument --port: 'eth1' is not like ethernet1/1=eth1 "
            "(see sixtuple run --help)",
        ),
        (
            "run --config f --port ethernet1/1=a --port ethernet1/1=b",
            "sixtuple run: argument --port: a port is named twice (see sixtuple run --help)",
        ),
        (
            "run --config f --queue 65536",
            "sixtuple run: argument --queue: '65536' is not a number from 0 to 65534 "
            "(see sixtuple run --help)",
        ),
        (
            "run --config f --queue -1",
            "sixtuple run: argument --queue: '-1' is not a number from 0 to 65534 "
            "(see sixtuple run --help)",
        ),
        (
            "check",
            "sixtuple check: the following arguments are required: FILE "
            "(see sixtuple check --help)",
        ),
    ],
)
@pytest.mark.usefixtures("found")
def test_what_is_not_understood_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    assert outcome(lambda: command_line.main(arguments.split())) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"{message}\n")


@pytest.mark.usefixtures("found")
def test_an_unknown_command_is_told_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(lambda: command_line.main(["fly"])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for word in ("fly", "run", "check", "cli", "lab"):
        assert word in line


def test_an_unknown_platform_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--config", "f", "--platform", "pa-1"]
    assert outcome(lambda: command_line.main(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for word in ("--platform", "'pa-1'", *PROFILES):
        assert word in line


@pytest.mark.usefixtures("found")
def test_commands_of_others_get_their_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["lab", "up", "--name", "x"]) == 7
    assert capsys.readouterr().out == "lab ['up', '--name', 'x']\n"


@pytest.mark.usefixtures("found")
def test_an_interrupt_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["stopped"]) == 130
    assert capsys.readouterr() == ("", "")


def sixtuple(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "control.main", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )


def test_version() -> None:
    done = sixtuple("--version")
    assert done.stdout.startswith("sixtuple ")
    assert (done.returncode, done.stderr) == (0, "")


def test_check(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.set", tmp_path / "bad.set"
    good.write_text("set zone trust network layer3 ethernet1/1\n")
    bad.write_text("set rulebase security rules r action perhaps\n")
    assert sixtuple("check", str(tmp_path / "none")).returncode == 2
    refused = sixtuple("check", str(bad))
    assert (refused.returncode, refused.stderr) == (2, "")
    assert f"{bad}:1" in refused.stdout


def test_cli_without_a_firewall(tmp_path: Path) -> None:
    done = sixtuple("cli", "--socket", str(tmp_path / "none"), "-c", "show clock")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m control.main --help | true",
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["--version"], ["check", "/dev/null"], ["cli", "--help"]])
def test_small_commands_do_not_load_what_others_need(arguments: list[str]) -> None:
    program = (
        "import sys; from control.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('pyroute2', 'prompt_toolkit', 'rich') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
