"""What is asked of adrt about events, steps, timers and the key-value store.

As in `_requests`: text, built once, nothing sent. Times come in as seconds or
as `datetime` objects and leave as the wire has them.
"""

from __future__ import annotations

from ._errors import NotJson
from ._json import encode
from ._requests import Request, members, tx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from typing import Any, Union

    Seconds = Union[float, timedelta]
    Checkpoint = Union[bool, str, None]


def _without_key(method: str, params: bytes) -> Request:
    """A request that takes no key: asked again, it does no harm."""
    request = Request(method, params)
    request.keyed = True
    return request


def milliseconds(span: Seconds, name: str) -> int:
    """A span of time as the wire has it; never shorter than what was asked for."""
    seconds = span if isinstance(span, (int, float)) else span.total_seconds()
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{name} is a number of seconds from 0 on, not {span!r}")
    whole = int(seconds * 1000)
    return whole if whole >= seconds * 1000 else whole + 1


def _moment(at: datetime | str) -> str:
    if isinstance(at, str):
        return at
    # A datetime without a zone is meant as the clock on the wall shows it.
    return (at if at.tzinfo is not None else at.astimezone()).isoformat()


def event_text(event: Any, name: str = "event") -> bytes:
    """The text of an event, which is a dict with a type."""
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise NotJson(f'{name} is a dict with at least a "type", a text: not {event!r}')
    return encode(event, name)


# ------------------------------------------------------------- events


def subscription(credit: int, types: Sequence[str] | None) -> dict[str, Any]:
    """Which events are wanted, and how many at a time."""
    if isinstance(credit, bool) or not isinstance(credit, int) or credit < 1:
        raise ValueError(f"credit is how many events are handled at a time, 1 or more: {credit!r}")
    if types is None:
        return {"credit": credit}
    if isinstance(types, str):
        types = [types]
    return {"credit": credit, "types": list(types)}


def subscribe(wanted: dict[str, Any]) -> Request:
    """Asks for events; replaces what was asked before."""
    return _without_key("event.subscribe", members(**wanted))


def emit(
    event: Any, to: str | None = None, delay: Seconds | None = None, key: str | None = None
) -> Request:
    """Puts an event into the inbox, or into another agent's."""
    delay_ms = None if delay is None else milliseconds(delay, "delay")
    rest = members(delay_ms=delay_ms, to=to)
    text = b'"event":' + event_text(event)
    return Request("event.emit", text + b"," + rest if rest else text, None, key)


def _held(seq: int, attempt: int) -> bytes:
    return b'"seq":%d,"attempt":%d' % (seq, attempt)


def ack(seq: int, attempt: int, gathered: list[Request], checkpoint: Checkpoint) -> Request:
    """Says that an event is done, together with all it has caused: one transaction.

    One patch, emits and key-value writes are members of the ack; whatever
    else there is makes it a `tx` that ends with the ack.
    """
    if checkpoint is False:
        checkpoint = None
    kept = {"label": checkpoint} if isinstance(checkpoint, str) else checkpoint
    params = b",".join(filter(None, (_held(seq, attempt), members(checkpoint=kept))))
    parts: dict[str, list[Request]] = {}
    for request in gathered:
        parts.setdefault(request.method, []).append(request)
    patches = parts.pop("state.patch", [])
    emits = parts.pop("event.emit", [])
    entries = [r for r in gathered if r.method in ("kv.put", "kv.delete")]
    if len(patches) > 1 or parts.keys() - {"kv.put", "kv.delete"}:
        return tx([*gathered, Request("event.ack", params)])
    effect = None
    for patch in patches:
        params += b"," + patch.params
        effect = patch.effect
    if emits:
        params += b',"emit":[' + b",".join(b"{%s}" % r.params for r in emits) + b"]"
    if entries:
        params += b',"kv":[' + b",".join(map(_entry, entries)) + b"]"
    return Request("event.ack", params, effect)


def ack_of(delivery: dict[str, Any]) -> Request:
    """Says that an event is done that the program has no use for."""
    return Request("event.ack", _held(delivery["seq"], delivery["attempt"]))


def _entry(request: Request) -> bytes:
    deleted = b',"delete":true' if request.method == "kv.delete" else b""
    return b"{%s%s}" % (request.params, deleted)


def nack(
    seq: int, attempt: int, reason: str | None, delay: Seconds | None, dead: bool
) -> Request:
    """Gives an event back, to be tried again later or (`dead`) never."""
    delay_ms = None if delay is None else milliseconds(delay, "delay")
    rest = members(reason=reason, delay_ms=delay_ms, dead=dead or None)
    held = _held(seq, attempt)
    return Request("event.nack", held + b"," + rest if rest else held)


def park(seq: int, attempt: int, until: dict[str, Any]) -> Request:
    """Puts an event aside until something has happened."""
    return Request("event.park", _held(seq, attempt) + b"," + members(until=until))


def until(
    review: int | None, event_type: str | None, after: Seconds | None
) -> dict[str, Any]:
    """What a parked event waits for."""
    after_ms = None if after is None else milliseconds(after, "after")
    given = {"review": review, "event_type": event_type, "after_ms": after_ms}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) != 1:
        raise ValueError("an event is parked until one thing: review=, event_type= or after=")
    return chosen


def extend(seq: int, attempt: int) -> Request:
    """Asks for more time, where events have a lease."""
    return _without_key("event.extend", _held(seq, attempt))


def history(limit: int | None, after: int | None, type: str | None) -> Request:
    """Past and present events, newest first."""
    return _without_key("event.history", members(limit=limit, after=after, type=type))


# -------------------------------------------------------------- steps


def step_begin(
    where: dict[str, Any], step: str, input_hash: str | None, on_unknown: str
) -> Request:
    """Asks whether a step is to be run, or was."""
    unknown = None if on_unknown == "rerun" else on_unknown
    return Request(
        "step.begin", members(step=step, **where, input_hash=input_hash, on_unknown=unknown)
    )


def step_complete(where: dict[str, Any], step: str, attempt: int, outcome: bytes) -> Request:
    """Tells how a step came out; `outcome` is the member `result` or `error`."""
    return Request("step.complete", members(step=step, **where, attempt=attempt) + b"," + outcome)


def step_forget(scope: str) -> Request:
    """Forgets the steps of a scope."""
    return Request("step.forget", members(scope=scope))


# ------------------------------------------------------------- timers


def timer(
    id: str,
    event: Any,
    after: Seconds | None,
    at: datetime | str | None,
    every: Seconds | None,
    cron: str | None,
    key: str | None,
) -> Request:
    """Sets a timer, or sets it anew."""
    if sum(value is not None for value in (after, at, every, cron)) != 1:
        raise ValueError("a timer goes off at one time: after=, at=, every= or cron=")
    when = members(
        id=id,
        after_ms=None if after is None else milliseconds(after, "after"),
        at=None if at is None else _moment(at),
        every_ms=None if every is None else milliseconds(every, "every"),
        cron=cron,
    )
    return Request("timer.set", when + b',"event":' + event_text(event), None, key)


def cancel_timer(id: str, key: str | None) -> Request:
    """Takes a timer back."""
    return Request("timer.cancel", members(id=id), None, key)


# ---------------------------------------------------------- key-value


def kv_put(ns: str, key: str, value: Any) -> Request:
    """Keeps a value, outside the state."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        import binascii

        text = b'"base64":"' + binascii.b2a_base64(value, newline=False) + b'"'
    else:
        text = b'"value":' + encode(value, "value")
    return _without_key("kv.put", members(ns=ns, key=key) + b"," + text)


def kv_get(ns: str, key: str) -> Request:
    """Reads a value."""
    return _without_key("kv.get", members(ns=ns, key=key))


def kv_delete(ns: str, key: str) -> Request:
    """Forgets a value."""
    return _without_key("kv.delete", members(ns=ns, key=key))


def kv_list(
    ns: str, prefix: str | None, limit: int | None, after: str | None, reverse: bool
) -> Request:
    """Reads keys with their values, in the order of the keys."""
    return _without_key(
        "kv.list",
        members(ns=ns, prefix=prefix or None, limit=limit, after=after, reverse=reverse or None),
    )


def kv_value(entry: dict[str, Any]) -> Any:
    """The value in an answer."""
    if "base64" not in entry:
        return entry.get("value")
    import binascii

    return binascii.a2b_base64(entry["base64"])
