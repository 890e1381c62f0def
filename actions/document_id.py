"""The id of a document that a step inserts: made from execution and node, so that a repeat cannot double it."""

from hashlib import blake2b

from bson import ObjectId


def document_id(execution_id: ObjectId, node: str) -> ObjectId:
    """Return the id of the document that ``node`` of this execution inserts: the same in every attempt and replica.

    The first four bytes are the execution's, so that ids sort with the executions they come from. One of the workflow's
    own steps goes in as the number that it was before steps were nodes.
    """
    origin = execution_id.binary
    place = int(node).to_bytes(4, "big") if node.isdecimal() else node.encode()
    return ObjectId(origin[:4] + blake2b(origin + place, digest_size=8).digest())
