"""The collector looks seldom, but never through so many objects that the event loop stands still."""

import subprocess
import sys

_PROGRAM = """
import gc
from daemon.collector import calm_collector

looked_at = []

def note(phase, info):
    if phase == "start":
        looked_at.append(sum(len(gc.get_objects(each)) for each in range(info["generation"] + 1)))

calm_collector()
gc.callbacks.append(note)
kept = [[] for _ in range(1_000_000)]
print(len(looked_at), max(looked_at))
"""


def test_no_look_is_through_more_than_120_000_objects_while_a_million_stay() -> None:
    told = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stdout
    looks, most = map(int, told.split())
    assert 0 < looks <= 50
    assert most <= 120_000
