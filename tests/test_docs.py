"""Docs run: the generated pages are up to date, and every command that the README names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import typer

from clock import HANG

ROOT = Path(__file__).parents[1]


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr


def test_commands_and_options_in_the_readme_exist() -> None:
    from usbrec.cli import app

    root = typer.main.get_command(app)
    lines = re.findall(r"usbrec ((?:[a-z]+ ?)+)([^`\n#]*)", (ROOT / "README.md").read_text(encoding="utf-8"))
    found = 0
    for words, rest in lines:
        command = root
        for word in words.split():
            inner = getattr(command, "commands", {})
            if word not in inner:
                break
            command = inner[word]
        if command is root:
            continue
        found += 1
        options = {name for parameter in command.params for name in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, f"usbrec {words}{rest}"
    assert found >= 6


def test_links_in_the_docs_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_nothing_names_a_machines_own_paths() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=HANG).stdout.split()
    for name in tracked:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".toml", ".txt") or path.name == "Makefile":
            assert "/work" + "/" not in path.read_text(encoding="utf-8"), name
