"""The causes of the transaction that the stream is in: which execution wrote which entity.

All events of a transaction are contiguous and share lsid and txnNumber, and the daemon inserts its cause record
first. So the reader reads the causes before their effects, and may forget them at the first event of another
transaction. A transaction may end between two batches, so they are part of the checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bson import Binary

from rules.cause import OUTSIDE, Cause
from rules.identity import entity_key

_Transaction = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class OpenCauses:
    """The causes met in ``transaction``, as ``{entity_type, entity_id, execution_id, depth, chain}`` documents."""

    transaction: _Transaction | None = None
    records: tuple[Mapping[str, Any], ...] = ()
    _by_entity: Mapping[tuple[str, Any], Cause] = field(default_factory=dict, compare=False)

    def within(self, transaction: _Transaction | None) -> "OpenCauses":
        """Return the causes that hold for an event of ``transaction``: these if it is the same one, else none."""
        return self if transaction is not None and transaction == self.transaction else NO_CAUSES

    def with_records(self, transaction: _Transaction | None, records: object) -> "OpenCauses":
        """Return these causes and those of a record that was met in ``transaction``; malformed causes are left out."""
        if transaction is None or not isinstance(records, list):
            return self
        known = (*self.records, *(record for record in records if _is_cause(record)))
        by_entity = {
            entity_key(record["entity_type"], record["entity_id"]): Cause(
                record["depth"], tuple(record["chain"]), record.get("execution_id")
            )
            for record in known
        }
        return OpenCauses(transaction, known, by_entity)

    def cause_of(self, entity_type: str, entity_id: Any) -> Cause:
        """Return the cause of a change of this entity."""
        return self._by_entity.get(entity_key(entity_type, entity_id), OUTSIDE) if self._by_entity else OUTSIDE

    def to_document(self) -> dict[str, Any]:
        """Return ``{transaction, causes}`` for the checkpoint."""
        transaction = [Binary(self.transaction[0]), self.transaction[1]] if self.transaction is not None else None
        return {"transaction": transaction, "causes": list(self.records)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "OpenCauses":
        """Return what ``to_document`` stored."""
        stored = document.get("transaction")
        if not isinstance(stored, list) or len(stored) != 2:
            return NO_CAUSES
        return NO_CAUSES.with_records((bytes(stored[0]), int(stored[1])), document.get("causes"))


NO_CAUSES = OpenCauses()


def _is_cause(record: object) -> bool:
    return (
        isinstance(record, Mapping)
        and isinstance(record.get("entity_type"), str)
        and isinstance(record.get("depth"), int)
        and isinstance(record.get("chain"), list)
        and "entity_id" in record
    )
