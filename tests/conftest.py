"""What every test shares: which engine is tested, and how hypothesis runs."""

from pathlib import Path

import hypothesis
import pytest

import native

# on a loaded machine a slow example is no failure
hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")


def pytest_report_header(config: pytest.Config) -> str:
    return f"engine: {Path(native.__file__).parent}"
