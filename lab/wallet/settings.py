"""What a replica is told by its environment; a wrong value stops it at once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.wallet.breaker import Limits

RAILS: Mapping[str, tuple[str, ...]] = {"pix": ("pix-primary", "pix-backup"), "ted": ("ted",)}
GATEWAYS = tuple(name for names in RAILS.values() for name in names)
DEFECTS = frozenset(
    {
        "breaker-stuck",
        "pays-twice",
        "money-lost",
        "one-zone",  # the manifest's: nothing changes in here
        "slow-start",
        "metrics-silent",
        "bypass",
    }
)


@dataclass(frozen=True)
class SlowStart:
    """The planted defect: a replica that starts while the file exists is not ready for a while."""

    file: Path | None
    seconds: float

    def applies(self) -> bool:
        """Would a replica that starts now be held back?"""
        return self.file is None or self.file.exists()


@dataclass(frozen=True)
class Settings:
    """One replica's settings. `gateways` maps each gateway to the base URL of its payments."""

    host: str
    port: int
    database_url: str
    gateways: Mapping[str, str]
    bank_record: str
    limits: Limits
    defects: frozenset[str]
    slow_start: SlowStart
    pod: str
    zone: str
    audit_log: Path | None

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "Settings":
        """Settings from environment variables.

        Raises:
            KeyError: a variable without a default is missing.
            ValueError: a value cannot be read, or names an unknown gateway or defect.
        """
        defects = _defects(env.get("DEFECTS", ""))
        paths = env["GATEWAYS_DIRECT" if "bypass" in defects else "GATEWAYS"]
        return cls(
            host=env.get("HOST", "127.0.0.1"),
            port=int(env.get("PORT", "8080")),
            database_url=env["DATABASE_URL"],
            gateways=_gateways(paths),
            bank_record=env["BANK_RECORD"].rstrip("/"),
            limits=_limits(env),
            defects=defects,
            slow_start=SlowStart(
                _path(env.get("SLOW_START_FILE", "")), float(env.get("SLOW_START_SECONDS", "90"))
            ),
            pod=env.get("POD_NAME", "wallet-api"),
            zone=env.get("ZONE", ""),
            audit_log=_path(env.get("AUDIT_LOG", "")),
        )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _defects(text: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if unknown := names - DEFECTS:
        raise ValueError(f"DEFECTS: {', '.join(sorted(unknown))}: no such defect")
    return names


def _gateways(text: str) -> dict[str, str]:
    urls = json.loads(text)
    if not isinstance(urls, dict) or set(urls) != set(GATEWAYS):
        raise ValueError(f"GATEWAYS: expected one URL for each of {', '.join(GATEWAYS)}")
    return {name: str(urls[name]).rstrip("/") for name in GATEWAYS}


def _limits(env: Mapping[str, str]) -> Limits:
    usual = Limits()
    return Limits(
        window=int(env.get("BREAKER_WINDOW", usual.window)),
        minimum=int(env.get("BREAKER_MINIMUM", usual.minimum)),
        failure_share=float(env.get("BREAKER_FAILURE_SHARE", usual.failure_share)),
        slow_share=float(env.get("BREAKER_SLOW_SHARE", usual.slow_share)),
        slow_seconds=float(env.get("BREAKER_SLOW_SECONDS", usual.slow_seconds)),
        call_limit=float(env.get("BREAKER_CALL_LIMIT", usual.call_limit)),
        open_seconds=float(env.get("BREAKER_OPEN_SECONDS", usual.open_seconds)),
        trials=int(env.get("BREAKER_TRIALS", usual.trials)),
    )
