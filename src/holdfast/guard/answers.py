"""What each guard was asked and what it said."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from holdfast.errors import HoldfastError


@dataclass(frozen=True)
class Answer:
    """One guard's answer: what it saw, or why it refuses."""

    guard: str
    words: str
    refusal: HoldfastError | None = None

    def record(self) -> dict[str, Any]:
        """The answer as it is written down."""
        return {"guard": self.guard, "passed": self.refusal is None, "says": self.words}


class Answers:
    """The answers so far, in the order of asking."""

    def __init__(self) -> None:
        self.given: list[Answer] = []

    def ask[**P](self, check: Callable[P, str], *given: P.args, **named: P.kwargs) -> None:
        """Ask a guard, and keep what it says.

        Raises:
            HoldfastError: its refusal, which is kept, too.
        """
        guard = getattr(check, "__name__", "").lstrip("_").removeprefix("check_").replace("_", " ")
        try:
            self.given.append(Answer(guard, check(*given, **named)))
        except HoldfastError as error:
            self.given.append(Answer(guard, str(error), error))
            raise

    def hear[**P](self, check: Callable[P, str], *given: P.args, **named: P.kwargs) -> None:
        """Ask a guard, and keep what it says, a refusal too."""
        with suppress(HoldfastError):
            self.ask(check, *given, **named)

    def keep(self, error: HoldfastError) -> None:
        """Keep a refusal that no guard's answer holds yet."""
        if error not in self.refusals():
            self.given.append(Answer("targets", str(error), error))

    def refusals(self) -> list[HoldfastError]:
        """Every refusal, first come first."""
        return [one.refusal for one in self.given if one.refusal]
