"""Imports go strictly to a lower floor; only the doors import a framework, and only theirs."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "layerviz_callbacks"

FLOORS = {
    "errors": 0, "messages": 0, "kinds": 0, "metering": 0, "safe_names": 0, "history": 0,
    "histogram": 1, "health": 1,
    "render": 1, "failure": 1, "best": 1, "one_thread": 1, "budget": 1, "probe": 1, "selection": 1,
    "cut": 2, "export": 2, "monitoring": 2, "picture": 2,
    "snapshot": 3,
    "answers": 4,
    "explaining": 5,
    "request": 6, "store": 6,
    "reader": 7, "views": 7, "sinks": 7,
    "coverage": 8, "plan": 8, "verification": 8, "drawing": 8, "artist": 8,
    "following": 8,
    "inspection": 9, "comparing": 9, "report": 9, "job": 9, "recorder_options": 9,
    "delivery": 10,
    "worker": 11, "process_artist": 11, "bill": 11, "finishing": 11,
    "recording": 12,
    "opening": 13, "training": 13,
    "recorder": 14,
    "keras": 15, "torch": 15,
    "lightning": 16,
    "replaying": 17, "": 17, "demo": 17, "commands": 18, "cli": 19, "__main__": 20,
}  # fmt: skip
# Imports by need, inside a function, that go upwards: each is a convenience of the public API.
UPWARDS_BY_NEED = {("snapshot", "views"), ("snapshot", "store")}
FRAMEWORKS = {"keras", "tensorflow", "tf_keras", "torch", "jax", "lightning", "pytorch_lightning"}
DOORS = {
    "keras": {"keras", "tensorflow", "tf_keras", "torch", "jax"},  # Keras runs on three of them
    "torch": {"torch"},
    "lightning": {"torch", "lightning", "pytorch_lightning"},
    "demo": FRAMEWORKS,
}


def part_of(path):
    relative = path.relative_to(PACKAGE)
    name = relative.parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def imports_of(tree):
    """(module, by need): every import statement outside `if TYPE_CHECKING:`."""
    inside_functions = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    only_for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inside_functions
        elif isinstance(node, ast.ImportFrom):
            if node.module == "layerviz_callbacks":
                for alias in node.names:
                    yield f"layerviz_callbacks.{alias.name}", id(node) in inside_functions
            else:
                yield node.module or "", id(node) in inside_functions


def faults(part, source):
    for module, by_need in imports_of(ast.parse(source)):
        root, _, rest = module.partition(".")
        if root == "layerviz_callbacks":
            target = rest.partition(".")[0]
            target = target if target in FLOORS else ""
            if target == part or (by_need and ((part, target) in UPWARDS_BY_NEED or part == "")):
                continue
            if FLOORS[target] >= FLOORS[part]:
                yield f"{part or '__init__'} (floor {FLOORS[part]}) imports {module} (floor {FLOORS[target]})"
        elif root in FRAMEWORKS and root not in DOORS.get(part, set()):
            yield f"{part or '__init__'} imports the framework {root}"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_down_the_floors(path):
    assert part_of(path) in FLOORS, "a new part of the package needs a floor"
    assert list(faults(part_of(path), path.read_text())) == []


def test_an_import_upwards_is_caught():
    assert list(faults("render", "from layerviz_callbacks.views import Filters"))
    assert list(faults("views", "from layerviz_callbacks import recorder"))
    assert list(faults("snapshot", "import torch"))
    assert list(faults("torch", "import keras"))
    assert not list(faults("views", "from layerviz_callbacks.picture import Picture"))
