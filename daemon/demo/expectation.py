"""The expected executions, decisions and effects of the demo, and the differences from them."""

from collections import Counter
from collections.abc import Sequence

from daemon.demo.history import History, NotRun, Run
from daemon.executions.status import Status

_EFFECTS = {"tasks": "create_task success", "notifications": "send_notification success"}


class Expectation:
    """Collects, act by act, what the scenario expects of the daemon."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.not_run: list[NotRun] = []
        self._broken: list[str] = []

    def run(self, workflow: str, entity: str, *steps: str, status: str = Status.COMPLETED) -> None:
        """Expect one execution; ``steps`` are ``action_type status``, in order."""
        self.runs.append(Run(workflow, entity, status, steps))

    def refusal(self, workflow: str, entity: str, reason: str) -> None:
        """Expect that a candidate did not run, for this reason."""
        self.not_run.append(NotRun(workflow, entity, reason))

    def that(self, claim: str, *, is_so: bool) -> None:
        """Expect a claim that was checked already."""
        if not is_so:
            self._broken.append(f"expected that {claim}")

    def differences(self, history: History) -> list[str]:
        """Return the differences, a line each: none only if exactly the expected executions ended as expected.

        Refusals have to be among those stored; there may be more, one for every workflow that a change might have
        started. Tasks and notifications have to be as many as there are steps that made one.
        """
        expected, found = Counter(self.runs), Counter(history.runs)
        lines = [f"missing: {run}" for run in (expected - found).elements()]
        lines += [f"not expected: {run}" for run in (found - expected).elements()]
        lines += [f"missing: {each}" for each in (Counter(self.not_run) - history.not_run).elements()]
        return [*lines, *self._broken, *_effect_differences(history.runs, history)]


def _effect_differences(runs: Sequence[Run], history: History) -> list[str]:
    made = Counter(step for run in runs for step in run.steps)
    return [
        f"{kind}: expected {made[step]}, one for each step that made one, found {history.effects.get(kind, 0)}"
        for kind, step in _EFFECTS.items()
        if history.effects.get(kind, 0) != made[step]
    ]
