"""The hash values that native/tests/test_siphash.c expects are CPython's own."""

import re
import subprocess
import sys
from pathlib import Path

C_TEST = Path(__file__).parents[2] / "native" / "tests" / "test_siphash.c"


def test_expected_values_are_those_of_cpython() -> None:
    table = C_TEST.read_text().partition("zero_key[] = {")[2].partition("};")[0]
    vectors = [(int(n), int(h, 16)) for n, h in re.findall(r"\{(\d+), (0x[0-9a-f]+)\}", table)]
    assert [length for length, _ in vectors] == [8, 16, 24, 40, 64]
    lengths = [length for length, _ in vectors]
    script = (
        f"import sys; print(sys.hash_info.algorithm, *(hash(bytes(range(n))) for n in {lengths}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    algorithm, *hashes = said.stdout.split()
    assert algorithm == "siphash13"
    assert [int(h) % 2**64 for h in hashes] == [value for _, value in vectors]
