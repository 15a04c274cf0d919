"""Memory and a second life for agents: the client of adrt.

    adrt run -- python3 agent.py

starts agent.py, keeps what it acknowledged, and starts it again after a crash.
`Agent` is for ordinary programs, `Runtime` for those on asyncio. Importing
this takes the wire to adrt off stdin and stdout, so that print() is free to
be used; in a process adrt didn't start, importing does nothing, and a client
starts an adrt of its own (`_attach`) unless told to stay in memory.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False

_HERE = os.path.dirname(__file__)
_stepped_aside = False
if os.path.exists(os.path.join(_HERE, "_embedded")):
    # adrt's own copy, which comes first on the path: an installed one has
    # precedence, and then is the module that the importer gets.
    from ._aside import step_aside

    _stepped_aside = step_aside(__name__, os.path.dirname(_HERE))

if TYPE_CHECKING:
    from ._confidence import ConfidenceEngine
    from ._context import ContextEngine
    from ._decision import DecisionEngine
    from ._engines import RecoveryEngine, StateEngine
    from ._event_async import AsyncEvent
    from .runtime import Runtime

if not _stepped_aside:
    from ._wire import take_over

    take_over()

    from ._errors import (
        AdrtError,
        BadToken,
        Disconnected,
        InboxFull,
        InvalidParams,
        KeyReused,
        MigrationMissing,
        NotConnected,
        NotJson,
        OutcomeUnknown,
        PatchFailed,
        ProtocolError,
        SchemaTooNew,
        StaleAttempt,
        StepFailed,
        StepInProgress,
        StepInReview,
        StepMismatch,
        StoreFailed,
        TooLarge,
        UnknownAgent,
        UnknownCheckpoint,
        UnknownEvent,
        UnsupportedProtocol,
        VersionConflict,
    )
    from ._engine_results import Confidence, Context, Decision, Processed, Review
    from ._event import Event
    from ._results import Checkpoint, StartInfo
    from ._steps import step
    from ._version import __version__
    from .agent import Agent

__all__ = [
    "AdrtError",
    "Agent",
    "AsyncEvent",
    "BadToken",
    "Checkpoint",
    "Confidence",
    "ConfidenceEngine",
    "Context",
    "ContextEngine",
    "Decision",
    "DecisionEngine",
    "Disconnected",
    "Event",
    "InboxFull",
    "InvalidParams",
    "KeyReused",
    "MigrationMissing",
    "NotConnected",
    "NotJson",
    "OutcomeUnknown",
    "PatchFailed",
    "Processed",
    "ProtocolError",
    "RecoveryEngine",
    "Review",
    "Runtime",
    "SchemaTooNew",
    "StaleAttempt",
    "StartInfo",
    "StateEngine",
    "StepFailed",
    "StepInProgress",
    "StepInReview",
    "StepMismatch",
    "StoreFailed",
    "TooLarge",
    "UnknownAgent",
    "UnknownCheckpoint",
    "UnknownEvent",
    "UnsupportedProtocol",
    "VersionConflict",
    "__version__",
    "step",
]

_ON_DEMAND = {
    "AsyncEvent": "_event_async",
    "ConfidenceEngine": "_confidence",
    "ContextEngine": "_context",
    "DecisionEngine": "_decision",
    "RecoveryEngine": "_engines",
    "Runtime": "runtime",
    "StateEngine": "_engines",
}


def __getattr__(name: str) -> object:
    # asyncio takes three times as long to import as Python takes to start, and
    # only `Runtime` needs it; the engines by themselves few need.
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
