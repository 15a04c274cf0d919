"""How hard-pressed the machine is, as adrt's sensors say.

    if runtime.environment.level == "critical": …
    await runtime.environment.wait_below("high")

Live: adrt tells of each change of level, and the next look shows it.
"""

from __future__ import annotations

import time

from ._bus import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ._agent_engines import AgentEngines
    from ._link import Link
    from ._runtime_engines import RuntimeEngines

    Handler = Callable[[Any], Any]
    H = TypeVar("H", bound=Handler)

LEVELS = ("calm", "elevated", "high", "critical")


class Readings:
    """What was told last."""

    def __init__(self) -> None:
        self.level = "calm"
        self.score = 0.0
        self.signals: dict[str, Any] = {}
        self.on_change: Callable[[], None] | None = None

    def take(self, told: dict[str, Any] | None) -> None:
        """It is told anew."""
        told = told or {}
        before = self.level
        self.level = told.get("level", self.level)
        self.score = told.get("score", self.score)
        self.signals = told.get("signals") or {}
        if self.level != before and self.on_change is not None:
            self.on_change()


class Environment:
    """The environment of this machine; the same for both clients, but for the waiting."""

    def __init__(self) -> None:
        self._handlers: list[Handler] = []

    def _readings(self) -> Readings:
        raise NotImplementedError

    @property
    def level(self) -> str:
        """calm, elevated, high or critical."""
        return self._readings().level

    @property
    def score(self) -> float:
        """From 0 to 1."""
        return self._readings().score

    @property
    def signals(self) -> dict[str, Any]:
        """`cpu`, `memory`, `psi`, `temperature` and `disk`; None for what the machine hasn't got."""
        return dict(self._readings().signals)

    def on_change(self, handler: H) -> H:
        """Has a handler called with this object after each change of level; also a decorator."""
        if not callable(handler):
            raise TypeError(f"a handler is a function, not {handler!r}")
        self._handlers = [*self._handlers, handler]
        return handler

    def is_below(self, level: str) -> bool:
        """Whether it is calmer than that."""
        return _rank(self.level) < _limit(level)

    def __repr__(self) -> str:
        return f"<environment {self.level}, {self.score:.2f}>"


class Calmer:
    """What `wait_below` waits for."""

    def __init__(self, link: Link, level: str) -> None:
        self._link = link
        self._limit = _limit(level)

    @property
    def below(self) -> bool:
        """It has come about."""
        return _rank(self._link.environment.level) < self._limit

    @property
    def done(self) -> bool:
        """There is no more to wait for."""
        return self.below or self._link.stopping


class AgentEnvironment(Environment):
    """`Agent.environment`."""

    def __init__(self, agent: AgentEngines) -> None:
        super().__init__()
        self._agent = agent

    def _readings(self) -> Readings:
        self._agent._core.pump()
        return self._agent._link.environment

    def on_change(self, handler: H) -> H:
        """Has a handler called with this object after each change of level; also a decorator.

        It is called at the end of whatever call of the agent has come upon the change.
        """
        super().on_change(handler)
        self._agent._link.environment.on_change = self._changed
        return handler

    def wait_below(self, level: str, timeout: float | None = None) -> bool:
        """Waits until it is calmer than `level`; False if it doesn't get so.

        That is: not within `timeout` seconds, or not before adrt wants the agent to end.
        """
        agent = self._agent
        calmer = Calmer(agent._link, level)
        agent._core.pump()
        end = None if timeout is None else time.monotonic() + timeout
        while not calmer.done:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            agent._wait_for_others(calmer, left)
            agent._heed()
        return calmer.below

    def _changed(self) -> None:
        self._agent._link.news = True

    def tell(self) -> None:
        """Calls the handlers, if there is something they have not heard."""
        link = self._agent._link
        if link.news:
            link.news = False
            for handler in self._handlers:
                try:
                    handler(self)
                except Exception as error:
                    tell(handler, f"the environment's being {self.level}", error)


class RuntimeEnvironment(Environment):
    """`Runtime.environment`."""

    def __init__(self, runtime: RuntimeEngines) -> None:
        super().__init__()
        self._runtime = runtime

    def _readings(self) -> Readings:
        return self._runtime._link.environment

    def watch(self) -> None:
        """The runtime is connected."""
        self._runtime._link.environment.on_change = self._changed

    async def wait_below(self, level: str, timeout: float | None = None) -> bool:
        """Waits until it is calmer than `level`; False if it doesn't get so.

        That is: not within `timeout` seconds, or not before adrt wants the agent to end.
        """
        calmer = Calmer(self._runtime._link, level)
        driver = self._runtime._driver
        driver.core.pump()
        await driver.until(calmer, timeout)
        return calmer.below

    def _changed(self) -> None:
        # From within a read of the wire, where nothing else may be asked.
        self._runtime._driver.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        for handler in self._handlers:
            self._runtime.bus.call(handler, self, f"the environment's being {self.level}")


def _rank(level: str) -> int:
    # One that this version doesn't know is none to work in.
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _limit(level: str) -> int:
    if level not in LEVELS[1:]:
        raise ValueError(f"it can be below {', '.join(LEVELS[1:])}, not below {level!r}")
    return LEVELS.index(level)
