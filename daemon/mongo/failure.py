"""Classify the errors of MongoDB: whether the caller should wait and repeat, give up, or stop.

The class follows from code and label, never from the text (MONGODB.md, "Stream position").
"""

from typing import Final, TypeGuard

from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from config.error import StoreUnavailable

HISTORY_LOST_CODES: Final = frozenset({286, 136})  # when opening a cursor, and on an open one, there without a label
UNRESUMABLE_CODES: Final = frozenset({280})  # the token's own event is hidden by the pipeline
CORRUPT_TOKEN_CODES: Final = frozenset(
    {9, 15, 260, 40647, 40648, 40649, 50793, 50796, 50811, 50816, 50872, 51055}
)  # the answers to tokens that were cut at every place
EVENT_TOO_LARGE_CODE: Final = 10334
MISSING_PRIVILEGE_CODE: Final = 13
_TRANSIENT_CODES: Final = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        11,  # UserNotFound: as 18
        13,  # Unauthorized: as 18
        18,  # AuthenticationFailed: credentials that were revoked may be restored
        43,  # CursorNotFound
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        112,  # WriteConflict
        133,  # FailedToSatisfyReadPreference
        175,  # QueryPlanKilled
        189,  # PrimarySteppedDown
        216,  # ElectionInProgress
        234,  # RetryChangeStream
        237,  # CursorKilled
        246,  # SnapshotUnavailable
        251,  # NoSuchTransaction
        262,  # ExceededTimeLimit
        290,  # TransactionExceededLifetimeLimitSeconds
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13388,  # StaleConfig
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
        14031,  # OutOfDiskSpace
    }
)
VAGUE_TRIES: Final = 5
_VAGUE_CODES: Final = frozenset({1, 8, 96, 8000})  # InternalError, UnknownError, OperationFailed, AtlasError
_TRANSIENT_LABELS: Final = (
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
    "RetryableWriteError",
    "ResumableChangeStreamError",
)


def is_forbidden(error: BaseException) -> TypeGuard[OperationFailure]:
    """Return whether the error says that a privilege is missing."""
    return isinstance(error, OperationFailure) and error.code == MISSING_PRIVILEGE_CODE


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed later."""
    if isinstance(error, StoreUnavailable):
        return True
    if not isinstance(error, PyMongoError):
        return False
    if isinstance(error, (AutoReconnect, ConnectionFailure, ExecutionTimeout, WTimeoutError)) or error.timeout:
        return True
    if any(error.has_error_label(label) for label in _TRANSIENT_LABELS):
        return True
    return isinstance(error, OperationFailure) and error.code in _TRANSIENT_CODES


def is_vague(error: BaseException) -> bool:
    """Return whether the code does not tell if the error is transient. Such calls are tried ``VAGUE_TRIES`` times."""
    return isinstance(error, OperationFailure) and error.code in _VAGUE_CODES


def may_pass(error: PyMongoError) -> bool:
    """Return whether a service that polls should poll again after this error: yes for every answer of the server.

    While a server starts, stops or lacks resources, it answers with codes that no list has. If a code means a defect of
    ours, polling keeps the other services running; ending the daemon would stop them again and again.
    """
    return is_transient(error) or isinstance(error, OperationFailure)
