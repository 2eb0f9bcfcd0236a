"""YAML as people may write it here: no alias, no key twice, no tag, not too large, not too deep."""

from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import yaml

from holdfast.errors import InvalidInput

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 50_000  # two seconds of reading


class _Loader(yaml.SafeLoader):
    """YAML without aliases, tags, merges, keys twice, infinities; a date is plain text."""

    depth = values = 0
    yaml_implicit_resolvers: ClassVar[Any] = {  # type: ignore[misc]  # untyped library
        first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # untyped library
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases are refused", event)
        if event.tag is not None:
            raise _refused("tags are refused", event)
        self.depth += 1
        self.values += 1
        if self.depth > MAX_DEPTH:
            raise _refused(f"nested deeper than {MAX_DEPTH} levels", event)
        if self.values > MAX_VALUES:
            raise _refused(f"more than {MAX_VALUES} values", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_scalar(self, node: Any) -> Any:
        value: Any = super().construct_scalar(node)
        value.encode()  # half a character, written as an escape, could never be printed
        return value

    def construct_yaml_float(self, node: Any) -> float:
        value: float = super().construct_yaml_float(node)
        if not isfinite(value):
            raise _refused(f"{node.value} is not a finite number", node)
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a key is not plain text", key)
            if key.tag == "tag:yaml.org,2002:merge":
                raise _refused("merges (`<<`) are refused", key)
            if key.value in seen:
                raise _refused(f"the key {key.value!r} stands twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


def _refused(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


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
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(str(path), f"not YAML: {reason}", "Correct the file") from None
