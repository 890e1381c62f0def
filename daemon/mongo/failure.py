"""What an error from MongoDB means for the one who got it: wait and repeat, give up, or stop.

Errors are classified by code and label, never by their text (MONGODB.md, "Stream position").
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

HISTORY_LOST_CODES: Final = frozenset({286, 136})  # when opening; on an open cursor, there without any label
UNRESUMABLE_CODES: Final = frozenset({280})  # the token's own event is hidden by the pipeline
CORRUPT_TOKEN_CODES: Final = frozenset(
    {9, 15, 260, 40647, 40648, 40649, 50793, 50796, 50811, 50816, 50872, 51055}
)  # what tokens cut off at every place answered with
EVENT_TOO_LARGE_CODE: Final = 10334
MISSING_PRIVILEGE_CODE: Final = 13
_TRANSIENT_CODES: Final = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        11,  # UserNotFound: as 18
        13,  # Unauthorized: as 18
        18,  # AuthenticationFailed: credentials revoked and, one hopes, restored
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
    """Return whether a privilege is missing: on everything, or on one collection only."""
    return isinstance(error, OperationFailure) and error.code == MISSING_PRIVILEGE_CODE


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed later, with nothing changed by us."""
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
    """Return whether the server's answer tells nothing: it may pass, or be for good. Try ``VAGUE_TRIES`` times."""
    return isinstance(error, OperationFailure) and error.code in _VAGUE_CODES


def may_pass(error: PyMongoError) -> bool:
    """Return whether a service that looks again and again should do so: whatever the server answered.

    It answers with codes that no list knows while it starts, stops or is out of something; and where a code means a
    defect of ours, the daemon's other services go on, which a restart would stop, too, again and again.
    """
    return is_transient(error) or isinstance(error, OperationFailure)
