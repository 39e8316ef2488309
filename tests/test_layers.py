"""The house: imports only go down, there are no cycles, the core needs no torch, `--help` is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

from clock import HANG

PACKAGE = Path(__file__).parents[1] / "src" / "usbrec"

LAYERS = (
    ("interrupts", "redaction"),
    ("types", "errors", "seeds", "settings", "progress", "words"),
    ("jsonl", "engine", "outputs", "prompts", "titles", "gguf_header", "faults", "strict_yaml", "tasks"),
    ("rowmap", "models", "catalogue", "manifest"),
    ("weights", "chat_template"),
    ("engines", "linking", "cooccurrence"),
    ("doctor", "roles"),
    ("data", "conversation"),
    ("preferences", "search", "training", "evaluation"),
    ("recipe", "pipeline"),
    ("relevance",),
    ("config", "readiness"),
    ("assemble",),
    ("systems", "rows"),
    ("stages",),
    ("calibrate", "rescoring", "experiments"),
    ("drift",),
    ("server",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports anywhere outside `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    skipped = {
        id(n) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) for n in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("usbrec"):
            module = node.module.removeprefix("usbrec").lstrip(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}".lstrip(".")
                found.add(inner if inner in known else module)
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("usbrec.") for alias in node.names if alias.name.startswith("usbrec.")}
    return found - {""}


def test_every_module_has_a_layer() -> None:
    assert {name.split(".")[0] for name in modules() if name} - set(LEVEL) == set()


def test_imports_go_down() -> None:
    known, wrong = modules(), []
    for name, path in known.items():
        top = name.split(".")[0]
        for other in imports(path, known):
            target = other.split(".")[0]
            if target != top and LEVEL[target] >= LEVEL[top] and name:
                wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_no_cycles() -> None:
    known = modules()
    graph = {name: {other for other in imports(path, known) if other in known and other != name} for name, path in known.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle
    assert len(order) >= 30


def test_the_core_imports_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None; sys.modules['peft'] = None\n"
        "import usbrec.stages, usbrec.assemble, usbrec.cli, usbrec.evaluation.report, usbrec.engines, usbrec.config\n"
        "print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG)
    assert done.stdout == "ok\n", done.stderr


def test_help_imports_nothing_that_costs_time() -> None:
    """How long it takes is measured by `python -m benchmarks startup`."""
    code = """if True:
        import sys
        from usbrec.cli import app
        try:
            app(["--help"])
        except SystemExit:
            print("imported:", *sorted({name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG)
    imported = done.stdout.rpartition("imported:")[2].split()
    heavy = {"torch", "transformers", "openvino", "openvino_genai", "matplotlib", "scipy", "httpx", "numpy", "pydantic", "yaml"}
    assert "evaluate" in done.stdout and heavy & set(imported) == set(), imported
    assert "usbrec" in imported
