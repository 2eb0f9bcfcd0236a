"""What a user of Chaos Toolkit writes without holdfast: an action over HTTP, and its rollback."""

import time
from pathlib import Path

import requests

__all__ = ["restore", "slow", "slow_step", "works_once"]

_CALL_S = 5.0
_TOXIC = "slow"


def slow(url: str, proxy: str) -> bool:
    """Make a gateway slow."""
    toxic = {"name": _TOXIC, "type": "latency", "attributes": {"latency": 2000}}
    answer = requests.post(f"{url}/proxies/{proxy}/toxics", json=toxic, timeout=_CALL_S)
    return answer.status_code == 200


def restore(url: str, proxy: str) -> bool:
    """Make it fast again."""
    answer = requests.delete(f"{url}/proxies/{proxy}/toxics/{_TOXIC}", timeout=_CALL_S)
    return answer.status_code == 204


def slow_step(seconds: float) -> bool:
    """A rollback that takes its time, before the one that matters."""
    time.sleep(seconds)  # the slowness of a user's rollback is what is measured
    return True


def works_once(path: str) -> bool:
    """A probe whose source answers before the fault and is gone after it."""
    asked = Path(path)
    if asked.exists():
        asked.with_suffix(".failed").write_text(str(time.monotonic_ns()))
        raise ConnectionError("the source of this probe does not answer any more")
    asked.touch()
    return True
