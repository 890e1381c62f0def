"""What the reader matches against: who looks at a change, and who reads large documents."""

import threading
from collections.abc import Mapping
from typing import Any

from daemon.versions.workflow_index import WorkflowIndex
from rules.workflow import Workflow
from tests.support.bench import created, workflow_document
from tests.support.change import a_creation, parsed

DOCUMENT = workflow_document(created())


def large(text: str) -> dict[str, Any]:
    """Return a workflow document that is read in a thread."""
    return {**DOCUMENT, "description": text * 20_000}


class Readings:
    """Reads documents, and counts those that were read while the event loop stood still."""

    def __init__(self) -> None:
        self.here = self.aside = 0

    def parse(self, workflow_id: Any, version: int, document: Mapping[str, Any]) -> Workflow:
        if threading.current_thread() is threading.main_thread():
            self.here += 1
        else:
            self.aside += 1
        return parsed(workflow_id, version, document)


async def test_a_large_document_that_is_written_again_is_read_aside_each_time() -> None:
    readings = Readings()
    index = WorkflowIndex(readings.parse)
    edits = [(DOCUMENT["_id"], large(text)) for text in "aabaa"]
    for first in (edits[:1], edits[1:]):
        await index.prepare(first)
        for workflow_id, document in first:
            index.edit(workflow_id, document)
    assert (readings.here, readings.aside) == (0, 3)


def test_an_edit_changes_at_once_who_looks_at_a_creation() -> None:
    index = WorkflowIndex(parsed)
    change = a_creation({"_id": 1})
    assert index.candidates(change) == []
    index.edit("w", DOCUMENT)
    assert [workflow.version for workflow, _ in index.candidates(change)] == [1]
    index.edit("w", {**DOCUMENT, "description": "new"})
    assert [(workflow.version, version.number) for workflow, version in index.candidates(change)] == [(2, 2)]
    index.edit("w", None)
    assert index.candidates(change) == []
