"""Imports among the modules point down in the order of the table in CONTRIBUTING.md, and no package has a circle."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "CONTRIBUTING.md"
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "skmax").rglob("*.py"))
}

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="runs in the project's folder")


def row_of(module):
    """How the table names a module: by its file, or by the folder of the package that it belongs to."""
    path = FILES[module].relative_to(ROOT)
    return path.as_posix() if len(path.parts) == 2 else f"{path.parts[0]}/{path.parts[1]}/"


def imports(path):
    """The modules of skmax that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            # What is imported from a package may be a module of it.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in FILES else node.module for name in names]
        found.update(name for name in names if name.split(".")[0] == "skmax")
    return found


def rows():
    cells = re.findall(r"^\| (`.*?) \|", TABLE.read_text(), re.M)
    return [name for cell in cells for name in re.findall(r"`(skmax/[^`]*)`", cell)]


def test_the_table_names_each_module_once():
    assert sorted(rows()) == sorted({row_of(module) for module in FILES})


@pytest.mark.parametrize("module", FILES)
def test_imports_point_down(module):
    rank = {row: place for place, row in enumerate(rows())}
    own = row_of(module)
    upwards = [name for name in imports(FILES[module]) if row_of(name) != own and rank[row_of(name)] < rank[own]]
    assert not upwards


def test_no_module_imports_itself_through_others():
    graph = {module: imports(path) for module, path in FILES.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(FILES)  # else a CycleError
