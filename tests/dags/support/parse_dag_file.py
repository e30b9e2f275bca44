"""Read one DAG file in a process that may open no connection; prints how long that took, Airflow's own start apart.

Arguments: the folder of the plug-ins, the DAG file.
"""

from __future__ import annotations

import json
import runpy
import socket
import sys
import time
from typing import Any, NoReturn


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Stands for everything that would reach a service."""
    raise AssertionError("a DAG file was about to reach a service")


def main() -> None:
    """Parse it."""
    plugins, file = sys.argv[1:]
    sys.path.insert(0, plugins)
    from airflow.plugins_manager import AirflowPlugin
    from airflow.sdk import DAG, Asset, BaseOperator, Param
    from airflow.timetables.interval import CronDataIntervalTimetable

    assert all((AirflowPlugin, DAG, Asset, BaseOperator, Param, CronDataIntervalTimetable))
    for name in ("connect", "connect_ex", "sendto", "bind"):
        setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        setattr(socket, name, refuse)
    began = time.perf_counter()
    runpy.run_path(file)
    seconds = time.perf_counter() - began
    sys.stdout.write(json.dumps({"seconds": seconds, "docker": "docker" in sys.modules}) + "\n")


if __name__ == "__main__":
    main()
