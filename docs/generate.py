"""Writes docs/cli.md (from the commands' own help) and docs/recipes.md (from the settings' docstrings).

python docs/generate.py            write both
python docs/generate.py --check    exit 1 if one of them is out of date
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
import typing
from pathlib import Path

import typer
from pydantic import BaseModel

from usbrec.settings import Settings, kinds_in, tag_of

HERE = Path(__file__).parent


def cli_page() -> str:
    """Every command with its arguments and options."""
    from usbrec.cli import app

    root = typer.main.get_command(app)
    lines = ["# Commands", "", "Written by `docs/generate.py` from `--help`; do not edit.", ""]
    for name, command in _commands("usbrec", root):
        lines += [f"## {name}", "", inspect.cleandoc(command.help or "").strip(), ""]
        rows = []
        for parameter in command.params:
            if parameter.name == "help":
                continue
            option = parameter.param_type_name == "option"
            names = ", ".join(f"`{n}`" for n in parameter.opts) if option else f"`{parameter.metavar or parameter.name.upper()}`"
            about = getattr(parameter, "help", None) or ""
            rows.append(f"| {names} | {about} |")
        if rows:
            lines += ["| argument or option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(name: str, command: typing.Any) -> typing.Iterator[tuple[str, typing.Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for key, sub in inner.items():
        yield from _commands(f"{name} {key}", sub)


def recipes_page() -> str:
    """Every key of a recipe: its default and what it means."""
    from usbrec.config import Recipe

    lines = ["# Recipes", "", "Every key of a recipe. Written by `docs/generate.py` from the settings' docstrings; do not edit.", ""]
    lines += ["`${NAME}` and `${NAME:-default}` stand for environment variables; `--set section.key=value` overrides a key.", ""]
    lines += [
        "A setting that has no effect is an error that says when it would have one: a key of another kind, or one that depends on another "
        "key's value (then its default may stay). So is a key that stands twice, and an infinite number. All faults are told at once, with "
        "what was probably meant. What is certain to fail later (a model, a key or an extra that is not there, a model that cannot be "
        "trained) ends a run before its first stage.",
        "",
    ]
    _section("recipe", {"": Recipe}, lines, {})
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, kinds: dict[str, type[Settings]], lines: list[str], seen: dict[tuple[type[Settings], ...], str]) -> None:
    """The keys of a section; where it is one of several kinds, a table a kind."""
    lines += [f"## {title}", ""]
    known = seen.setdefault(tuple(kinds.values()), title)
    if known != title:
        lines += [f"As [{known}](#{known.replace('.', '')}).", ""]
        return
    inner: dict[str, dict[str, type[Settings]]] = {}
    if len(kinds) > 1:
        key = tag_of(next(iter(kinds.values())))[0]
        lines += [f"One of these, told apart by `{key}` (the first where it is left out); a key of another one is an error.", ""]
    for model in kinds.values():
        lines += [inspect.cleandoc(model.__doc__ or ""), "", *_table(model)]
        for name, field in model.model_fields.items():
            if nested := kinds_in(field.annotation):
                inner[name if title == "recipe" else f"{title}.{name}"] = nested
    for name, nested in inner.items():
        _section(name, nested, lines, seen)


def _table(model: type[Settings]) -> list[str]:
    told, rows = _docstrings(model), []
    for name, field in model.model_fields.items():
        if name == tag_of(model)[0]:
            continue
        nested = isinstance(field.default, BaseModel) or bool(kinds_in(field.annotation) and field.default is not None)
        usual = field.get_default(call_default_factory=True)
        given = "see below" if nested else f"`{usual if isinstance(usual, str) else json.dumps(usual, default=str)}`"
        rows.append(f"| `{name}` | {'required' if field.is_required() else given} | {told.get(name, '')} |")
    return ["| key | default | meaning |", "|---|---|---|", *rows, ""] if rows else []


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the string literal under it, own class and parents."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)) or kind is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(str(text.value.value).split()).replace("|", "\\|")
    return found


def main() -> int:
    pages = {HERE / "cli.md": cli_page(), HERE / "recipes.md": recipes_page()}
    if "--check" in sys.argv:
        stale = [path.name for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        sys.stderr.write(f"out of date: {', '.join(stale)}; run make docs\n" if stale else "")
        return bool(stale)
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
