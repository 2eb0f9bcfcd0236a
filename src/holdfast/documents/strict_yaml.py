"""YAML as people may write it here: no alias, no key twice, no tag, not too large, not too deep."""

from pathlib import Path
from typing import Any

import yaml

from holdfast.errors import InvalidInput

MAX_BYTES = 1 << 20
MAX_DEPTH = 32


class _Loader(yaml.SafeLoader):
    """YAML without aliases, without a key twice, and not too deep."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are refused", problem_mark=self._here())
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {MAX_DEPTH} levels",
                problem_mark=self._here(),
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _here(self) -> Any:
        return self.peek_event().start_mark  # type: ignore[no-untyped-call]  # untyped library

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Read one YAML file that a person wrote.

    Raises:
        InvalidInput: missing, unreadable, too large, or not the YAML that we accept.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            str(path), f"cannot be read: {error.strerror}", "Check the path and its rights"
        ) from None
    if len(content) > MAX_BYTES:
        raise InvalidInput(str(path), "is larger than 1 MiB", "Make it smaller")
    try:
        # _Loader is a SafeLoader: it makes plain values only
        return yaml.load(content, _Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path} line {mark.line + 1}" if mark else str(path)
        raise InvalidInput(place, error.problem or "not YAML", "Correct that line") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(str(path), f"not YAML: {error}", "Correct the file") from None
