"""What the engines give back. Their members are attributes, as in `result.action`."""

from __future__ import annotations

from ._results import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RISKS = ("low", "medium", "high", "critical")


class Context(Record):
    """What an event says about how things are."""

    risk: str
    """low, medium, high or critical."""
    stability: str
    """stable, degraded, low or critical."""
    context: str
    """What it is a sign of, as in `resource_pressure`."""
    pressure_score: float
    """From 0 to 1."""
    tags: list[str]


class Confidence(Record):
    """How likely it is that acting is right."""

    call_id: str
    """For `record_outcome`."""
    final: float
    """The probability, after all that was learnt from outcomes."""
    base: float
    """The evidence of the event alone."""
    context_adjustment: float
    """The caution that the risk asks for."""
    history_weight: float
    """By how much outcomes have changed it."""
    decay_factor: float
    """How much of what was learnt still counts: half after seven days without an outcome."""
    threshold: float
    """What is needed to act at this risk, as things are."""

    def __float__(self) -> float:
        return self.final


class Decision(Record):
    """An action, with its reasons."""

    decision_id: int
    action: str
    reason: str
    priority: str
    """low, normal, high or critical."""
    verdict: str
    """execute, or review: a person is to be asked first."""
    review_id: int | None
    """The review, where there is one."""
    metadata: dict[str, Any]
    """The rule that fitted, its gate, the threshold, the confidence, the environment."""


class Processed(Record):
    """What `process` made of an event."""

    event_type: str
    context: Context
    confidence: float
    threshold: float
    verdict: str
    """execute, or review: a person is to be asked first."""
    action: str
    reason: str
    priority: str
    """low, normal, high or critical."""
    decision_id: int
    review_id: int | None
    """The review, where the verdict is that."""
    seq: int
    """The event's number."""
    state_version: int
    state_persisted: bool
    checkpoint_created: bool

    def __init__(self, members: dict[str, Any]) -> None:
        super().__init__({**members, "context": Context(members["context"])})


class Review(Record):
    """How a review came out."""

    id: int
    status: str
    """approved, rejected or expired."""
    approved: bool
    """Whether the answer is yes; of an expired one, whether its default was."""
    answer: Any
    """What was chosen among the options, or said besides; None if nothing was."""
    note: str | None
    by: str | None
    """Who has decided."""

    def __bool__(self) -> bool:
        return self.approved


def review(number: int, answer: dict[str, Any]) -> Review:
    """From what `review.get` says of a settled one."""
    status = answer["status"]
    said = answer.get("default") if status == "expired" else status
    return Review(
        {
            "id": number,
            "status": status,
            "approved": said in ("approved", "approve"),
            **{name: answer.get(name) for name in ("answer", "note", "by")},
        }
    )


def plain(confidence: Any) -> Any:
    """A confidence as a number: what `calculate` gives back will do as well."""
    return confidence.final if isinstance(confidence, Confidence) else confidence
