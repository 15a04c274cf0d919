"""Steps: side effects whose results are remembered, so that they are paid for once.

```
   step.begin ──► "done"    ──► the result of then
              ├─► "failed"  ──► StepFailed, as of then
              ├─► "review"  ──► StepInReview
              └─► "run"     ──► fn() ──┬─ returns ────────────► step.complete {result}
                                       ├─ raises StepFailed ──► step.complete {error}
                                       └─ raises else: the step stays open
```

A step is named within its event, or within a scope that lives until it is
forgotten. The same name again is another step, `name#2`, `name#3`, in the
order of the calls; only a call that takes up one which an exception has left
open, by the same function on the same input, is that one again: so a step may
stand inside of `retry`.

What a step returns is what it would return after a crash: its result as JSON
(an object with `model_dump()` and a dataclass as a dict), through `decode=`.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar

from . import _event_requests
from ._errors import NotJson, StepFailed, StepInReview
from ._gather import current
from ._json import canonical, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._link import Flow, Link

ON_UNKNOWN = ("rerun", "review")
STEP_OPTIONS = ("input", "encode", "decode", "on_unknown")
"""Arguments of `step` that are its own and not its function's."""

ENVELOPE_BYTES = 1_000
"""What `step.complete` needs besides its result, at most."""
UNSET: Any = object()


class Begun:
    """A step that adrt has said to run."""

    __slots__ = ("attempt", "idempotency_key", "name")

    def __init__(self, name: str, answer: dict[str, Any]) -> None:
        self.name = name
        self.attempt: int = answer["attempt"]
        self.idempotency_key: str = answer["idempotency_key"]


_under_way: ContextVar[Begun | None] = ContextVar("adrt_step", default=None)


class _Step:
    """The step under way, for the function that is its body.

    from adaptive_runtime import step
    charge(card, idempotency_key=step.idempotency_key)
    """

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt of this step; for the other side to know a repeat by."""
        return self._begun().idempotency_key

    @property
    def attempt(self) -> int:
        """1 the first time it is run, then more."""
        return self._begun().attempt

    @property
    def name(self) -> str:
        """The step's name, numbered."""
        return self._begun().name

    def _begun(self) -> Begun:
        begun = _under_way.get()
        if begun is None:
            raise RuntimeError("no step is under way: this is for the function that step() runs")
        return begun

    def __repr__(self) -> str:
        begun = _under_way.get()
        return "<no step>" if begun is None else f"<step {begun.name}, attempt {begun.attempt}>"


step = _Step()


class Numbers:
    """The steps of one event's attempt, or of one scope: which call is which step."""

    def __init__(self, where: dict[str, Any]) -> None:
        self.where = where
        self._used: dict[str, int] = {}
        self._open: list[tuple[str, Any, str, Begun]] = []  # name, fn, input, as begun

    def next(self, name: str) -> str:
        """The name of a further step."""
        number = self._used[name] = self._used.get(name, 0) + 1
        return name if number == 1 else f"{name}#{number}"

    def take_up(self, name: str, fn: Any, input_hash: str | None) -> Begun | None:
        """The step that an exception has left open, if this is the same call again."""
        for index, (was, by, on, begun) in enumerate(self._open):
            if was == name and by == fn and on == input_hash:
                del self._open[index]
                return begun
        return None

    def leave_open(self, name: str, fn: Any, input_hash: str | None, begun: Begun) -> None:
        """An exception has ended it."""
        if input_hash is not None:
            self._open.append((name, fn, input_hash, begun))


class StepCall:
    """One call of `step()`: the parts that don't depend on how waiting is done."""

    def __init__(
        self,
        numbers: Numbers,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        input: Any = UNSET,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[Any], Any] | None = None,
        on_unknown: str = "rerun",
    ) -> None:
        if not isinstance(name, str) or not name or "#" in name:
            raise ValueError(f"a step's name is a text without #, not {name!r}")
        if on_unknown not in ON_UNKNOWN:
            raise ValueError(f'on_unknown is "rerun" or "review", not {on_unknown!r}')
        self.known = False
        self.value: Any = None
        self._numbers = numbers
        self._name = name
        self._fn, self._args, self._kwargs = fn, args, kwargs
        self._encode, self._decode = encode, decode
        self._on_unknown = on_unknown
        self._hash = _hash(args, kwargs, input)
        begun = numbers.take_up(name, fn, self._hash)
        self._begun = begun
        self._step = numbers.next(name) if begun is None else begun.name

    def begin(self) -> Flow:
        """Asks what is known of it; `known` and `value` say so afterwards."""
        if self._begun is not None:
            return
        answer = yield _event_requests.step_begin(
            self._numbers.where, self._step, self._hash, self._on_unknown
        )
        status = answer["status"]
        if status == "run":
            self._begun = Begun(self._step, answer)
        elif status == "done":
            self.known, self.value = True, self._recalled(answer.get("result"))
        elif status == "failed":
            raise _remembered(self._step, answer.get("error"))
        else:
            raise StepInReview(
                f"step {self._step} began once, and how it ended is unknown: it waits for "
                f"review {answer['review_id']}",
                data={"review_id": answer["review_id"], "step": self._step},
            )

    def run(self) -> Any:
        """The function's result, which may be something to wait for."""
        before = _under_way.get()
        _under_way.set(self._begun)
        try:
            return self._fn(*self._args, **self._kwargs)
        finally:
            _under_way.set(before)

    async def awaited(self, outcome: Any) -> Any:
        """Waits for such a result, which is the body of the step still."""
        before = _under_way.get()
        _under_way.set(self._begun)
        try:
            return await outcome
        finally:
            _under_way.set(before)

    def leave_open(self) -> None:
        """The function has raised: nothing is remembered."""
        assert self._begun is not None
        self._numbers.leave_open(self._name, self._fn, self._hash, self._begun)

    def keep(self, result: Any, limit: int | None) -> Flow:
        """Remembers the result. It was paid for: whatever it is, the step is done."""
        text, faithful = _text(result, self._encode, limit)
        assert self._begun is not None
        yield _event_requests.step_complete(
            self._numbers.where, self._step, self._begun.attempt, b'"result":' + text
        )
        if faithful:
            return self._recalled(decode(text))
        _warn(f"step {self._step}: its result can't be kept as JSON, only its repr; pass encode=")
        return result

    def fail(self, failure: StepFailed) -> Flow:
        """Remembers that it has failed for good."""
        assert self._begun is not None
        error = {"message": str(failure)}
        try:
            text = encode({**error, "data": failure.data} if failure.data else error, "error")
        except NotJson:
            text = encode(error, "error")
        yield _event_requests.step_complete(
            self._numbers.where, self._step, self._begun.attempt, b'"error":' + text
        )

    def _recalled(self, value: Any) -> Any:
        return value if self._decode is None else self._decode(value)


def numbers_for(link: Link, scopes: dict[str, Numbers], scope: str | None) -> Numbers:
    """Where a step belongs that is not told its event."""
    if scope is not None:
        return scopes.setdefault(scope, Numbers({"scope": scope}))
    gathering = current(link)
    if gathering is None:
        raise ValueError(
            "a step belongs to an event (call it within the event's block) or to a scope: "
            'pass scope="…", a name that lives until forget_steps()'
        )
    numbers: Numbers = gathering.event._numbers
    return numbers


def _remembered(name: str, error: Any) -> StepFailed:
    if not isinstance(error, dict):
        error = {"message": str(error)}
    return StepFailed(str(error.get("message", f"step {name} failed")), data=error.get("data"))


def _hash(args: tuple[Any, ...], kwargs: dict[str, Any], input: Any) -> str | None:
    """What the input is recognised by; None where it can't be said in JSON."""
    if input is not UNSET:
        text = canonical(_plain(input), "input")
    else:
        try:
            text = canonical([args, kwargs], "arguments")
        except NotJson:
            return None
    import hashlib

    return hashlib.sha256(text).hexdigest()


def _plain(value: Any) -> Any:
    """A model or a dataclass as a dict; all else as it is."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        try:
            return dump(mode="json")  # pydantic: dates and the like as text
        except TypeError:
            return dump()
    if hasattr(type(value), "__dataclass_fields__"):
        import dataclasses

        return dataclasses.asdict(value)
    return value


def _text(
    result: Any, by: Callable[[Any], Any] | None, limit: int | None
) -> tuple[bytes, bool]:
    """The JSON text of a result, and whether it says all of it."""
    try:
        text = encode(_plain(result if by is None else by(result)), "result")
        if limit is None or len(text) + ENVELOPE_BYTES <= limit:
            return text, True
    except Exception:  # whatever encode= or model_dump() raise
        pass
    try:
        shown = repr(result)[:ENVELOPE_BYTES]
    except Exception:
        shown = f"<{type(result).__name__}>"
    return encode({"$repr": shown}, "result"), False


def _warn(text: str) -> None:
    import warnings

    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)
