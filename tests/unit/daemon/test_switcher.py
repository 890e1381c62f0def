"""Of many switches of one workflow only those are applied that make a difference."""

import pytest

from daemon.workflows.switcher import without_overtaken


@pytest.mark.parametrize(
    ("switches", "needed"),
    [
        ("hold", "hold"),
        ("hold release", "hold release"),
        ("hold release hold", "hold"),
        ("release hold release hold release", "hold release"),
        ("hold release cancel", "cancel"),
        ("cancel hold release cancel hold", "cancel hold"),
        ("cancel hold release", "cancel hold release"),
    ],
)
def test_what_later_switches_make_superfluous_is_left_out(switches: str, needed: str) -> None:
    pending = [
        {"workflow_id": workflow_id, "version": version, "transition": transition}
        for version, transition in enumerate(switches.split())
        for workflow_id in ("w", "other")
    ]
    kept, overtaken = without_overtaken(pending)
    for workflow_id in ("w", "other"):
        assert " ".join(each["transition"] for each in kept if each["workflow_id"] == workflow_id) == needed
    assert [each["version"] for each in kept] == sorted(each["version"] for each in kept)
    assert len(kept) + len(overtaken) == len(pending)
