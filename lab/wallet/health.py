"""Live, ready, and whether the gateways can be reached; the last never touches the second."""

import asyncio
import time

from lab.wallet.gateways import Gateways
from lab.wallet.ledger import Ledger
from lab.wallet.metrics import Metrics
from lab.wallet.settings import SlowStart

CHECK_SECONDS = 30.0


class Health:
    """One replica's health."""

    def __init__(self, ledger: Ledger, held_back: SlowStart | None) -> None:
        self._ledger = ledger
        slow = held_back is not None and held_back.applies()
        self._ready_at = time.monotonic() + (held_back.seconds if held_back and slow else 0.0)
        self.stopping = False
        self.gateways: dict[str, bool] = {}
        self.checked_at = 0.0

    async def ready(self) -> bool:
        """Started, not stopping, and the database answers."""
        if self.stopping or time.monotonic() < self._ready_at:
            return False
        return await self._ledger.reachable()

    async def watch(self, gateways: Gateways, metrics: Metrics) -> None:
        """Check the way to every gateway now and every 30 s."""
        while True:
            await self.check(gateways, metrics)
            await asyncio.sleep(CHECK_SECONDS)

    async def check(self, gateways: Gateways, metrics: Metrics) -> None:
        """Find out which gateways are well, and say so."""
        self.gateways = await gateways.check()
        self.checked_at = time.time()
        for name, up in self.gateways.items():
            metrics.checked(name, up=up)
