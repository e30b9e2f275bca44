"""Keeping other people's libraries from reporting home, from writing outside our folder, and from busy waiting."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

from twinserve.errors import PermanentError, TransientError

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "FEAST_USAGE": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime; read when it is imported, which otherwise opens a database of events
    "SCARF_ANALYTICS": "false",
    "SCARF_NO_ANALYTICS": "true",
}
# Threads of OpenMP (scikit-learn's) spin while they wait for each other. With as many threads as processors, and one of
# those taken by someone else, that is nearly all they do: a fit of 0.9 s took 44 s on a machine with a load of 15.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
FOLDERS = {
    "BENTOML_HOME": "bentoml",
    "MPLCONFIGDIR": "cache/matplotlib",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "cache/config",
    "XDG_DATA_HOME": "cache/data",
    "XDG_STATE_HOME": "cache/state",
    "TMPDIR": "cache/tmp",
    # Feast's name for a folder of metrics, which is not the one that prometheus_client reads: named, it makes none
    "PROMETHEUS_MULTIPROCESS_DIR": "cache/tmp",
}


def containing_environment(home: Path) -> dict[str, str]:
    """Variables that keep caches, configuration and scratch files of a process under `home`, telemetry off, and
    threads asleep that have nothing to do.

    Libraries read them when they are imported. Makes the folder for temporary files, without which Python would
    take another.

    Raises:
        PermanentError: `home` is no folder that we may write to.
        TransientError: its disk is full.
    """
    try:
        (home / FOLDERS["TMPDIR"]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        kind, fix = (TransientError, "Make room") if full else (PermanentError, "Set TWINSERVE_HOME to another folder")
        raise kind(f"can't write to {home}: {error.strerror}", fix=fix) from None
    return {**TELEMETRY_OFF, **WAITING, **{name: str(home / folder) for name, folder in FOLDERS.items()}}


def keep_metrics_in_memory() -> None:
    """Have prometheus_client count in memory, if it is not told otherwise, before Feast tells it to.

    Importing Feast sets PROMETHEUS_MULTIPROC_DIR; prometheus_client goes by it when it is imported, and from then on
    counts in files with holes that are mapped into memory: on a full disk the first number ends the process by SIGBUS.
    Nobody reads what Feast counts in a step.
    """
    with suppress(ImportError):  # where there is none, there is no Feast either
        import prometheus_client.values  # noqa: F401
