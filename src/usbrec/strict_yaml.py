"""YAML as people mean it: every key once, and the plain values of YAML 1.2.

PyYAML follows YAML 1.1, where the second of two equal keys wins in silence, `010` is eight, `1:30` is ninety, `5e-4` is a text and
`2026-11-26` no text.  Here numbers are decimal, `true` and `false` are the only truths, and dates are texts.  Anchors and merge keys
work, as long as they do not blow up.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

from usbrec.errors import ConfigError

_MOST_NODES = 100_000
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "merge": r"<<",
}


def load(text: str, where: str) -> Any:
    """The value of a YAML document.

    Raises:
        ConfigError: it is not YAML, a key stands twice, or it is too large to be a file of settings; with file and line.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _size(node, {}, where)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        problem = getattr(fault, "problem", None) or getattr(fault, "reason", None) or fault
        place = f"{where}:{mark.line + 1}" if mark else where
        told = str(problem) if isinstance(fault, yaml.constructor.ConstructorError) else f"is not YAML: {problem}"
        raise ConfigError(told, where=place, fix="mend that line") from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=where, fix="write sections of keys and values") from None


class _Loader(yaml.SafeLoader):
    """Refuses doubled keys; knows no types but those of settings."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {}  # type: ignore[misc]
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        known: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in known:
                raise _refusal(key, f"'{key.value}' stands here again: line {known[key.value]} has it already")
            known[key.value] = key.start_mark.line + 1
        self.flatten_mapping(node)
        return self.construct_mapping(node, deep=True)

    def items(self, node: yaml.SequenceNode) -> list[Any]:
        return self.construct_sequence(node, deep=True)

    def text(self, node: yaml.ScalarNode) -> str:
        return str(self.construct_scalar(node))

    def truth(self, node: yaml.ScalarNode) -> bool:
        return self.text(node).lower() == "true"

    def number(self, node: yaml.ScalarNode) -> int | float:
        text = self.text(node)
        try:
            if node.tag.endswith("float"):
                return float(re.sub(r"^([-+]?)\.(?=[a-zA-Z])", r"\1", text))
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        except ValueError:
            raise _refusal(node, f"'{text[:40]}' is no number that can be used") from None

    def stranger(self, node: yaml.Node) -> Any:
        raise _refusal(node, f"'{node.tag.removeprefix(_TAG)}' is no type of a setting")


def _refusal(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _size(node: yaml.Node, known: dict[int, int], where: str) -> int:
    """Nodes of the whole value, each alias counted as what it stands for.

    Raises:
        ConfigError: there are far too many, or an anchor contains itself.
    """
    if id(node) in known:
        if known[id(node)] == 0:
            raise ConfigError("an anchor contains itself", where=f"{where}:{node.start_mark.line + 1}", fix="write the value out")
        return known[id(node)]
    known[id(node)] = 0
    inner = node.value if isinstance(node, yaml.CollectionNode) else []
    parts = [part for each in inner for part in (each if isinstance(each, tuple) else (each,))]
    size = 1 + sum(_size(part, known, where) for part in parts)
    if size > _MOST_NODES:
        raise ConfigError(f"its anchors stand for more than {_MOST_NODES} values", where=where, fix="write the values out")
    known[id(node)] = size
    return size


for _name, _pattern in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), None)
_Loader.add_constructor(None, _Loader.stranger)
_Loader.add_constructor(_TAG + "map", _Loader.mapping)
_Loader.add_constructor(_TAG + "seq", _Loader.items)
_Loader.add_constructor(_TAG + "str", _Loader.text)
_Loader.add_constructor(_TAG + "null", lambda loader, node: None)
_Loader.add_constructor(_TAG + "bool", _Loader.truth)
_Loader.add_constructor(_TAG + "int", _Loader.number)
_Loader.add_constructor(_TAG + "float", _Loader.number)
