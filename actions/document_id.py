"""The id of a document that a step inserts: made from execution and step, so that a repeat cannot double it."""

from hashlib import blake2b

from bson import ObjectId


def document_id(execution_id: ObjectId, step: int) -> ObjectId:
    """Return the id of the document that ``step`` of this execution inserts: the same in every attempt and replica.

    The first four bytes are the execution's, so that ids sort with the executions they come from.
    """
    origin = execution_id.binary
    return ObjectId(origin[:4] + blake2b(origin + step.to_bytes(4, "big"), digest_size=8).digest())
