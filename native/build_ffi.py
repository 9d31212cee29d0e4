"""Builds `native._engine` from engine.h and the C sources: cffi API mode, one header for both."""

import subprocess
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
SOURCES = sorted((HERE / "src").glob("*.c"))
FLAGS = ["-std=gnu11", "-O3", "-g", "-Wall", "-Wextra", "-Werror"]
HEADERS = sorted([*(HERE / "include").glob("*.h"), *(HERE / "src").glob("*.h")])


def declarations() -> str:
    """engine.h as cffi can read it: macros expanded, system headers left out."""
    command = ["cc", "-E", "-P", "-DCDEF", str(HERE / "include" / "engine.h")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source(
    "native._engine",
    '#include "engine.h"',
    sources=[str(path.relative_to(HERE.parent)) for path in SOURCES],
    include_dirs=["native/include"],
    depends=[str(path.relative_to(HERE.parent)) for path in HEADERS],
    libraries=["mnl", "pcap"],
    extra_compile_args=[*FLAGS, "-fvisibility=hidden"],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
