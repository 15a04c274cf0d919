"""What is asked of the engines and of people, as requests.

As in `_requests`: text, built once, nothing sent.
"""

from __future__ import annotations

from ._engine_results import RISKS, plain
from ._errors import InvalidParams, NotJson
from ._event_requests import event_text, milliseconds
from ._json import encode
from ._requests import Request, members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ._event_requests import Seconds
    from ._rules import WrittenRule


def _joined(first: bytes, rest: bytes) -> bytes:
    return first + b"," + rest if rest else first


def _asks(method: str, params: bytes) -> Request:
    """A request that changes nothing: asked again, it does no harm."""
    request = Request(method, params)
    request.keyed = True
    return request


def analyze(event: Any) -> Request:
    """What an event means."""
    return _asks("context.analyze", b'"event":' + event_text(event))


def calculate(event: Any, context_risk: str, context: str | None) -> Request:
    """How sure one can be."""
    if not isinstance(event, dict):
        raise NotJson(f"event is a dict, not a {type(event).__name__}")
    if context_risk not in RISKS:
        raise InvalidParams(f"context_risk is one of {', '.join(RISKS)}, not {context_risk!r}")
    text = b'"event":' + encode(event, "event")
    return _asks(
        "confidence.calculate", _joined(text, members(context_risk=context_risk, context=context))
    )


def record_outcome(
    success: bool,
    confidence: Any,
    context_risk: str | None,
    context: str | None,
    call_id: str | None,
    decision_id: int | None,
) -> Request:
    """How acting came out."""
    if not isinstance(success, bool):
        raise InvalidParams(f"success is True or False, not {success!r}")
    told = (call_id is not None) + (decision_id is not None) + (confidence is not None)
    if told != 1 or (confidence is None) != (context_risk is None):
        raise InvalidParams(
            "an outcome is that of a call_id, of a decision_id, or of a confidence at a context_risk"
        )
    return Request(
        "confidence.record_outcome",
        members(
            success=success,
            call_id=call_id,
            decision_id=decision_id,
            confidence=plain(confidence),
            context_risk=context_risk,
            context=context,
        ),
    )


def decide(
    event: Any,
    context: str,
    risk: str,
    confidence: Any,
    rules: Iterable[WrittenRule] | None,
) -> Request:
    """What to do."""
    if risk not in RISKS:
        raise InvalidParams(f"risk is one of {', '.join(RISKS)}, not {risk!r}")
    own = None
    if rules is not None:
        from . import _rules  # a table, which few need

        own = [_rules.written(rule) for rule in _rules.rules(rules, "rules")]
    rest = members(context=context, risk=risk, confidence=plain(confidence), rules=own)
    return Request("decision.decide", _joined(b'"event":' + event_text(event), rest))


def process(event: Any, seq: int | None, key: str | None) -> Request:
    """All of it at once: of an event, or of one that was handed out."""
    text = b'"event":' + event_text(event) if seq is None else b'"seq":%d' % seq
    request = Request("event.process", text, None, key)
    if seq is not None:
        request.keyed = True  # the event itself is what it is known by
    return request


DEFAULTS = ("reject", "approve")


def review(
    prompt: str,
    options: Sequence[Any] | None,
    timeout: Seconds | None,
    default: str,
    decision: Any,
    key: str | None,
) -> Request:
    """Asks a person."""
    if not isinstance(prompt, str) or not prompt:
        raise InvalidParams(f"prompt is what the person is asked, a text: not {prompt!r}")
    if default not in DEFAULTS:
        raise InvalidParams(f"default is one of {', '.join(DEFAULTS)}, not {default!r}")
    if options is not None and isinstance(options, str):
        raise InvalidParams(f"options are a list of answers, not {options!r}")
    return Request(
        "review.request",
        members(
            prompt=prompt,
            options=None if options is None else list(options),
            timeout_ms=None if timeout is None else milliseconds(timeout, "timeout"),
            default=default,
            decision_id=getattr(decision, "decision_id", decision),
        ),
        None,
        key,
    )


def review_state(number: int) -> Request:
    """How a review stands."""
    return _asks("review.get", b'"id":%d' % number)
