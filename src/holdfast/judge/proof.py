"""One of the three proofs that a fault took effect."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Proof:
    """One proof: shown, not shown, or (None) not to be told; and one sentence of why."""

    name: str
    shown: bool | None
    why: str
