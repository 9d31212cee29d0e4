"""docs/heartbeats.md shows what the example really prints."""

import subprocess
import sys
from pathlib import Path

import pytest

from control.main import main

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "esx"
PAGE = (ROOT / "docs" / "heartbeats.md").read_text()


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("esx") / "esx.pcap"
    subprocess.run([sys.executable, EXAMPLE / "make_capture.py", path], check=True, cwd=ROOT)
    return path


def replay(capture: Path, *options: str) -> int:
    return main(["replay", str(capture), "--config", str(EXAMPLE / "firewall.set"), *options])


def test_the_comparison(capture: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert replay(capture, "--compare", "pa-5000,pa-7000,software") == 0
    printed = capfd.readouterr()
    assert f"```\n{printed.out}```\n" in PAGE
    assert printed.err == ""


def test_the_plot(capture: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "heartbeats.png"
    assert replay(capture, "--plot", str(path)) == 0
    assert f"```\n{capfd.readouterr().out}```\n" in PAGE  # all three platforms
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "](heartbeats.png)" in PAGE


def test_the_session_on_the_way(capture: Path) -> None:
    from control.cli.sessions import render_detail
    from control.replay.play import Play
    from control.replay.setup import load

    until_ns = 1_200_100_000_000
    setup = load(EXAMPLE / "firewall.set")
    play = Play(setup, capture, platform="pa-5000", until_ns=until_ns)
    for _ in play.pages():
        pass
    session = play.engine.session(1)
    assert session is not None
    shown = [
        line
        for line in render_detail(session, ()).splitlines()
        if any(word in line for word in ("timeout  ", "live", "offload", "report", "longest"))
    ]
    assert "\n".join(shown) + "\n```" in PAGE


REFUSED = [
    pytest.param(["--compare", "pa-9000"], "'pa-9000' is none of pa-5000, pa-7000, software"),
    pytest.param(["--compare", ""], "'' is none of pa-5000, pa-7000, software"),
    pytest.param(["--explain", "--json"], "--explain is for people: leave out --json"),
    pytest.param(
        ["--explain", "--plot", "x.png"],
        "--compare and --plot go without --explain and --capture-dir",
    ),
    pytest.param(["--plot", "/nowhere/x.png"], "--plot /nowhere/x.png: No such file or directory"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_options_that_cannot_be(
    options: list[str], message: str, capture: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status: object
    try:
        status = replay(capture, *options)
    except SystemExit as error:  # argparse
        status = error.code
    assert status == 2
    assert message in capfd.readouterr().err


def test_a_pipe_cannot_be_compared(capfd: pytest.CaptureFixture[str]) -> None:
    config = str(EXAMPLE / "firewall.set")
    assert main(["replay", "-", "--config", config, "--compare", "software"]) == 2
    assert capfd.readouterr().err == ("-: is read several times to compare, so it must be a file\n")
