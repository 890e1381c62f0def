"""Where and with what a benchmark ran: figures mean nothing without it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from pymongo import MongoClient


def machine_of(uri: str) -> dict[str, Any]:
    """Return the machine line and the versions."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(uri) as client:
        server = client.server_info()["version"]
    load = os.getloadavg()[0]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory GB": round(psutil.virtual_memory().total / 1e9),
        "load before": round(load, 2),
        "Linux": platform.release(),
        "Python": platform.python_version(),
        "PyMongo": version("pymongo"),
        "MongoDB": server,
        "reflexd": version("reflexd"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
