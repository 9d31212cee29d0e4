"""The version of what is installed."""

from importlib import metadata


def version() -> str:
    try:
        return metadata.version("sixtuple")
    except metadata.PackageNotFoundError:
        return "0+unknown"  # run from a checkout that is not installed
