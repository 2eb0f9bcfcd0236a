"""YAML as people may write it here: no alias, no key twice, no tag, not too large, not too deep."""

from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.composer import Composer

from holdfast import files
from holdfast.errors import InvalidInput

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 10_000  # nodes: far more than anybody reads, and read in a blink

# libyaml finds the events twenty times as fast; the nodes are composed here, where each is counted.
_Events: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(Composer, _Events):  # type: ignore[misc]  # the one or the other
    """YAML without aliases, tags, merges, keys twice, infinities; a date is plain text."""

    depth = values = 0
    yaml_implicit_resolvers: ClassVar[Any] = {
        first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        _Events.__init__(self, text)
        Composer.__init__(self)

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
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
        text = files.read(path, MAX_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(
            str(path),
            f"cannot be read: {error.strerror}",
            "Check the path, its rights and its size",
        ) from None
    except UnicodeDecodeError as error:
        place = f"{path} byte {error.start + 1}"
        raise InvalidInput(place, "is not UTF-8", "Save the file as UTF-8") from None
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # _Loader is safe: it makes plain values only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path} line {mark.line + 1}" if mark else str(path)
        raise InvalidInput(place, error.problem or "not YAML", "Correct that line") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(str(path), f"not YAML: {reason}", "Correct the file") from None
