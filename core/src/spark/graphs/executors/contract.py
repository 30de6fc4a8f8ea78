"""What an executor promises, and what it is given to keep that: plain data in, plain data out, and messages in between.

The engine decides what runs, and when; whether it runs again, how long it may take, and what it changes. An executor only carries
one step to where it is executed, and its result back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self

from spark.graphs.executors.messages import Message, StepInput, StepResult


class NodePlace(ABC):  # noqa: B024 - what counts is that something is one
    """Where the code of some nodes runs. What can be chosen as ``executor=`` is one of these."""

    name: ClassVar[str] = ""
    """The name under which a plugin provides it."""

    def idle(self) -> None:  # noqa: B027 - most have nothing to do
        """No run uses it any more. It may let go of what it holds, now or after a while: the next run may come at any time."""

    def close(self) -> None:  # noqa: B027 - as above
        """End everything that it began. May be called again, from any thread."""


class Executor(NodePlace):
    """Executes steps outside of the event loop of their run: in other processes, or on other machines.

    It may serve several runs, event loops and threads at a time. It executes each step that it is given once, and never again by
    itself: retries are the engine's.
    """

    max_in_flight: int = 64
    """So many steps, of all runs, are with it at a time. The others wait, and are not encoded before it is their turn."""
    packs_code: bool = False
    """Nodes and functions travel as ``pack`` makes bytes of them, and not by the names under which they can be imported."""

    @abstractmethod
    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        """Begin to execute a step elsewhere, where ``WorkerStep`` does it.

        :param channel: takes what the step tells and asks while it runs.
            A call that is cancelled leaves nothing running.
        :raises ExecutorError: it can't be begun; says why. That is a failed attempt of the step.
        """

    def pack(self, code: Any) -> bytes:
        """A node, or a function, as bytes from which ``pickle`` makes it again elsewhere. Called only if ``packs_code``."""
        raise NotImplementedError(f"{type(self).__name__} sets packs_code, and so has to override pack().")

    @abstractmethod
    def close(self) -> None:
        """End everything that it began. Steps that are under way fail. May be called again, from any thread."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StepHandle(ABC):
    """One step that an executor has begun."""

    @abstractmethod
    async def result(self) -> StepResult:
        """How the step ended. Called once. Cancelling the call gives the step up: ``cancel`` follows.

        :raises WorkerLostError: what executed it is gone.
        :raises ExecutorError: there is no result, for another reason; says which.
        """

    @abstractmethod
    async def cancel(self) -> None:
        """Stop the step, by force if it does not stop by itself; returns when it is stopped, or nothing can stop it.

        Its result is no longer wanted, and never returned. Called at most once. After a minute, the run continues without it, and
        logs that.
        """

    def release(self) -> None:  # noqa: B027 - most hold nothing
        """The result was committed, or is not needed: what was kept for it may be released."""


class StepChannel(Protocol):
    """The side of the run: what a step tells and asks while it runs is handed over here, from any thread, in order."""

    def began(self) -> None:
        """The step is being executed from now on; until then its time limits do not count. Needed only if it ``is_timed``."""

    def tell(self, message: Message) -> None:
        """Hand over a message that needs no reply."""

    def ask(self, message: Message, reply: Callable[[Any], object]) -> None:
        """Hand over a message, and have ``reply`` called with the reply, in the event loop of the run. Plain data, too."""


class StepLink(Protocol):
    """The side of the worker: how a step that runs there reaches its run."""

    def tell(self, message: Message) -> None:
        """Send a message that needs no reply, from any thread, in order, without waiting."""

    def ask(self, message: Message) -> Any:
        """Send a message, from any thread, and wait for the reply.

        :raises ExecutorError: none will come: the run is gone, or no longer wants the step.
        """
