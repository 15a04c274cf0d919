"""Errors, one class a kind.

adrt says what went wrong by `error.data.kind`; the kind alone chooses the
class here, never the text. What goes wrong on this side of the wire (not
connected, a value that isn't JSON) has kinds of its own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


class AdrtError(Exception):
    """Something adrt refused, or that went wrong on the way to it.

    `kind` says what (stable, for programs); `retryable` whether the very same
    request may succeed later; `data` is all that adrt said besides; `code` is
    the number on the wire, None for errors that never were on it.
    """

    kind: str = "error"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        retryable: bool | None = None,
        data: dict[str, Any] | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind
        if retryable is not None:
            self.retryable = retryable
        self.data: dict[str, Any] = {} if data is None else data
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders (multiprocessing, concurrent.futures).
        return (_rebuild, (type(self), str(self), self.kind, self.retryable, self.data, self.code))


def _rebuild(
    cls: type[AdrtError],
    message: str,
    kind: str,
    retryable: bool,
    data: dict[str, Any],
    code: int | None,
) -> AdrtError:
    return cls(message, kind=kind, retryable=retryable, data=data, code=code)


# ------------------------------------------------------- told by adrt


class ProtocolError(AdrtError):
    """The request was no request adrt knows: a bug here, or versions that don't fit."""

    kind = "invalid_request"


class InvalidParams(ProtocolError):
    """A parameter was refused; the message names it."""

    kind = "invalid_params"


class KeyReused(InvalidParams):
    """The idempotency key was used before, for something else."""

    kind = "key_reused"


class UnsupportedProtocol(ProtocolError):
    """adrt speaks another major version; `data["supported"]` lists them."""

    kind = "unsupported_protocol"


class BadToken(ProtocolError):
    """The token of this incarnation was wrong."""

    kind = "bad_token"


class VersionConflict(AdrtError):
    """`if_version` was given and is not the current version: read again, decide again."""

    kind = "version_conflict"

    @property
    def version(self) -> int | None:
        """The current version, where adrt told it."""
        version = self.data.get("version")
        return version if isinstance(version, int) else None


class PatchFailed(AdrtError):
    """The path leads nowhere, or a `test` didn't hold. Nothing was changed."""

    kind = "patch_failed"


class TooLarge(AdrtError):
    """The state, or one request, would be larger than adrt allows."""

    kind = "too_large"


class UnknownCheckpoint(AdrtError):
    """There is no such checkpoint (any more)."""

    kind = "unknown_checkpoint"


class StaleAttempt(AdrtError):
    """This process no longer holds the event (or the step): somebody else has, or will."""

    kind = "stale_attempt"


class UnknownEvent(AdrtError):
    """There is no such event (any more)."""

    kind = "unknown_event"


class UnknownAgent(AdrtError):
    """`to` names an agent that adrt doesn't know."""

    kind = "unknown_agent"


class InboxFull(AdrtError):
    """No more events are taken until some are handled.

    Like a full disk it is waited out for as long as `store_timeout` says.
    """

    kind = "inbox_full"


class StepMismatch(AdrtError):
    """The step is remembered with another input: the code took another way this time.

    Name the step after what it works on, or give `input=` what identifies it.
    """

    kind = "step_mismatch"


class StepInProgress(AdrtError):
    """The step is under way elsewhere in this incarnation."""

    kind = "step_in_progress"


class StoreFailed(AdrtError):
    """The disk refused: full, read-only, failing. Nothing of the request was applied.

    Where trying again can help, the client has already tried for as long as
    `store_timeout` says.
    """

    kind = "store_failed"


class OutcomeUnknown(AdrtError):
    """The disk failed while committing: the write may be there or not.

    adrt is about to restart this process from what is really there. With a
    `key` of your own the next incarnation can ask again and be sure.
    """

    kind = "outcome_unknown"


# ------------------------------------------------------- of this side


class NotConnected(AdrtError):
    """This process has no wire to adrt; the message says why and what to do."""

    kind = "not_connected"


class Disconnected(AdrtError):
    """adrt is gone, or closed the wire. What was not acknowledged may be there or not."""

    kind = "disconnected"


class NotJson(AdrtError, ValueError):
    """A value that JSON can't say; the message names the member, as in `patch["a"][3]`."""

    kind = "not_json"


class SchemaTooNew(AdrtError):
    """The state was written by newer code than this."""

    kind = "schema_too_new"


class MigrationMissing(AdrtError):
    """The state is older than the code, and no migration leads from one to the other."""

    kind = "migration_missing"


class StepFailed(AdrtError):
    """Raised in a step: it has failed for good, and is not to be run again.

    Any other exception leaves the step open, so that the next attempt runs
    it. This one is remembered, and raised again by every later attempt.
    """

    kind = "step_failed"


class StepInReview(AdrtError):
    """The step began once and its outcome is unknown: a person decides.

    Leaving an event's block with it parks the event until they have.
    """

    kind = "step_in_review"

    @property
    def review_id(self) -> int:
        """The review that is waited for."""
        number: int = self.data["review_id"]
        return number


class Crash(BaseException):
    """The simulated death of the agent in a test (see `testing`).

    Not an Exception, so that nothing in the program survives it by accident.
    """


_CLASSES: dict[str, type[AdrtError]] = {
    cls.kind: cls
    for cls in (
        ProtocolError,
        InvalidParams,
        KeyReused,
        UnsupportedProtocol,
        BadToken,
        VersionConflict,
        PatchFailed,
        TooLarge,
        UnknownCheckpoint,
        StaleAttempt,
        UnknownEvent,
        UnknownAgent,
        InboxFull,
        StepMismatch,
        StepInProgress,
        StoreFailed,
        OutcomeUnknown,
    )
}
for _kind in ("parse_error", "method_not_found", "already_initialized"):
    _CLASSES[_kind] = ProtocolError


def from_wire(error: dict[str, Any]) -> AdrtError:
    """The exception for the `error` member of a reply."""
    data = error.get("data")
    if not isinstance(data, dict):
        data = {}
    kind = str(data.get("kind", "error"))
    cls = _CLASSES.get(kind, AdrtError)
    return cls(
        str(error.get("message", kind)),
        kind=kind,
        retryable=data.get("retryable") is True,
        data=data,
        code=error.get("code"),
    )
