"""A second person's approval of one experiment in one environment, signed with Ed25519.

The file names its approver, the environment, the SHA-256 of what would run (the experiment, its
journeys and its objectives, as they were read) and until when it holds, 24 h after it was given at
most. The public keys of those who may approve stand in the environment file, where a change of them
is reviewed.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from holdfast.documents import Environment
from holdfast.errors import InvalidInput, Refused
from holdfast.guard.consent import Consent

LONGEST = timedelta(hours=24)
_SKEW = timedelta(minutes=5)  # between the clocks of approver and runner
_DOMAIN = b"holdfast approval 1\n"  # so that no other signature of the same key can be one
_FIELDS = ("approver", "environment", "experiment", "approved", "expires")
_MAX_BYTES = 1 << 16


def digest(what: Mapping[str, Any]) -> str:
    """The SHA-256 of what would run: `plan.Plan.substance`, as JSON with its keys in order."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def approve(
    what: Mapping[str, Any], environment: Environment, key: Path, now: datetime, lasts: timedelta
) -> dict[str, str]:
    """The approval of what would run, given now by the owner of a private key.

    Raises:
        InvalidInput: no usable key, or a time that is none.
        Refused: the key belongs to nobody who may approve there.
    """
    if not timedelta(0) < lasts <= LONGEST:
        raise InvalidInput("--hours", "an approval holds for 24 h at most", "Write 24 or less")
    private = _private(key)
    public = _spki(private.public_key())
    mine = [name for name, one in environment.policy.approvers.items() if one == public]
    if not mine:
        raise Refused(
            f"key {key}",
            f"its public half is not among `policy.approvers` of {environment.name}",
            f"Let somebody add `NAME: {public}` there",
        )
    said = {
        "approver": mine[0],
        "environment": environment.name,
        "experiment": digest(what),
        "approved": now.isoformat(timespec="seconds"),
        "expires": (now + lasts).isoformat(timespec="seconds"),
    }
    return {**said, "signature": base64.b64encode(private.sign(_message(said))).decode()}


def check_approval(
    environment: Environment, what: Mapping[str, Any], consent: Consent, now: datetime
) -> str:
    """In production: did a second person approve exactly this, for here and for now?"""
    if environment.kind != "production":
        return f"not needed in {environment.kind}"
    if consent.approval is None or not consent.operator:
        raise Refused(
            f"environment {environment.name}",
            "it is production, which needs an approval and the name of who runs it",
            "Let a second person run `holdfast approve`, then give `--approval` and `--operator`",
        )
    said = _read(consent.approval)
    place = f"approval {consent.approval}"
    if not _signed(environment, said):
        raise Refused(
            place,
            f"it is not signed by {said['approver']} as `policy.approvers` knows them",
            "Let an approver of this environment run `holdfast approve`",
        )
    if why := _wrong(environment, what, consent, said) or _out_of_time(said, now):
        raise Refused(place, why, "Let another approver run `holdfast approve` for this, here")
    return f"{said['approver']} approved it until {said['expires']}, {consent.operator} runs it"


def _wrong(
    environment: Environment, what: Mapping[str, Any], consent: Consent, said: dict[str, str]
) -> str:
    """What it is about, or whose it is, if that is not as it has to be."""
    if said["approver"].strip().casefold() == consent.operator.strip().casefold():
        return f"{said['approver']} approved it and would run it: that takes two"
    if said["environment"] != environment.name:
        return f"it is for {said['environment']}"
    if said["experiment"] != digest(what):
        return "the experiment, its journeys or its objectives are not those that were approved"
    return ""


def _out_of_time(said: dict[str, str], now: datetime) -> str:
    try:
        approved, expires = (datetime.fromisoformat(said[one]) for one in ("approved", "expires"))
        if approved > now + _SKEW:
            return f"it was given in the future, at {said['approved']}"
        if expires - approved > LONGEST:
            return "it would hold for more than 24 h"
        return "" if now < expires else f"it held until {said['expires']}"
    except (TypeError, ValueError):  # a naive time cannot be compared
        return "its times are not times with a zone"


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        said = None
    fields = {*_FIELDS, "signature"}
    if not isinstance(said, dict) or set(said) != fields or not _texts(said):
        raise Refused(
            f"approval {path}", "it is not one", "Let an approver run `holdfast approve`"
        ) from None
    return said


def _texts(said: dict[str, Any]) -> bool:
    return all(isinstance(one, str) for one in said.values())


def _message(said: dict[str, str]) -> bytes:
    return _DOMAIN + json.dumps({one: said[one] for one in _FIELDS}, sort_keys=True).encode()


def _signed(environment: Environment, said: dict[str, str]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    known = environment.policy.approvers.get(said["approver"])
    if known is None:
        return False
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(known)[-32:])
        public.verify(base64.b64decode(said["signature"], validate=True), _message(said))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _private(path: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(
            str(path),
            "it holds no Ed25519 private key in PEM, without a password",
            "Make one with `openssl genpkey -algorithm ed25519 -out FILE`",
        ) from None
    return key


def _spki(public: Any) -> str:
    """A public key as `openssl pkey -pubout` prints it between its two marks."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()
