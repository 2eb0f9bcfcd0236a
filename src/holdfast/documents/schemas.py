"""The published JSON Schemas of the files that people write, made from the types that check them.

`python -m holdfast.documents.schemas FOLDER` writes them; a test keeps the published ones equal.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from holdfast.documents import (
    Calendar,
    ControlFile,
    Environment,
    Extension,
    JourneyFile,
    ObjectiveFile,
    RateFile,
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema by the name of its file."""
    return {
        "environment.json": _schema("environment.yaml", Environment),
        "journeys.json": _schema("journeys.yaml", dict[str, JourneyFile]),
        "objectives.json": _schema("objectives.yaml", dict[str, ObjectiveFile]),
        "rates.json": _schema("rates.yaml", dict[str, RateFile]),
        "freeze.json": _schema("freeze.yaml", Calendar),
        "controls.json": _schema("controls.yaml", ControlFile),
        "experiment.json": _experiment(),
    }


def write(folder: Path) -> None:
    """Write each into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (folder / name).write_text(text(schema), "utf-8")


def text(schema: dict[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2) + "\n"


def _schema(title: str, kind: Any) -> dict[str, Any]:
    made = TypeAdapter(kind).json_schema()
    return {"$schema": _DIALECT, **made, "title": title}


def _experiment() -> dict[str, Any]:
    """Only what is ours in it: Chaos Toolkit's own keys are checked by `holdfast plan`."""
    ours = TypeAdapter(Extension).json_schema()
    parts = ours.pop("$defs")
    named = {"properties": {"name": {"const": "holdfast"}}, "required": ["name"]}
    extensions = {
        "type": "array",
        "items": {"if": named, "then": ours},
        "contains": named,
        "minContains": 1,
        "maxContains": 1,
    }
    return {
        "$schema": _DIALECT,
        "title": "experiment",
        "$defs": parts,
        "type": "object",
        "properties": {"extensions": extensions},
        "required": ["title", "extensions", "steady-state-hypothesis", "method", "rollbacks"],
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m holdfast.documents.schemas FOLDER")
    write(Path(sys.argv[1]))
