"""The structure of the sources, as docs/architecture.md describes it: which package may import which."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(ROOT.glob("kala/**/*.py"))
}
TREES = {module: ast.parse(file.read_text()) for module, file in FILES.items()}
# Each arrow, from the top down. A package may import what it reaches along them, and all may import the version.
ARROWS = {
    "__main__": ["cli"],
    "cli": ["service", "client"],
    "service": ["app"],
    "app": ["ui", "zone", "heartbeat"],
    "ui": ["api"],
    "api": ["access", "config", "zone"],
    "access": ["server", "engine", "config"],
    "engine": ["runner", "store", "zone"],
    "server": ["core"],
    "runner": ["core"],
    "store": ["core"],
    "config": ["core"],
    "zone": ["core"],
    "heartbeat": [],
    "client": [],
    "core": [],
}
IMPURE = "asyncio io logging os pathlib random secrets select signal socket subprocess tempfile threading time uuid"
DATABASE = "peewee playhouse sqlite3"
SQL = re.compile(r"\b(SELECT|INSERT (OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM|CREATE (TABLE|INDEX)|PRAGMA)\b")


def imported(tree):
    """Return every name that a module imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Only the client has relative imports, as its package has a second name; it has no packages in it.
            source = ".".join(filter(None, ["kala.client", node.module])) if node.level else node.module
            yield from (f"{source}.{name.name}" for name in node.names)


def modules_imported(tree):
    """Return the modules of kala among these names: `kala.core.run` for `from kala.core.run import State`."""
    ours = {name for name in imported(tree) if f"{name}.".startswith("kala.")}
    return {name if name in FILES else name.rpartition(".")[0] for name in ours}


def package_of(module):
    return module.split(".")[1] if "." in module else "the version"


def in_package(package):
    return {module for module in TREES if package_of(module) == package}


def reachable(package):
    return {package, "the version"}.union(*map(reachable, ARROWS[package]))


@pytest.mark.parametrize("module", [module for module in TREES if "." in module])
def test_a_module_imports_only_packages_below_its_own(module):
    assert {package_of(name) for name in modules_imported(TREES[module])} <= reachable(package_of(module))


def test_imports_are_absolute_except_in_the_client_where_they_are_relative():
    for module, tree in TREES.items():
        froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        is_client = package_of(module) == "client"
        ours = [node for node in froms if node.level or f"{node.module}.".startswith("kala.")]
        assert {node.level for node in ours} <= {1 if is_client else 0}, module


def test_no_import_leads_back_to_its_own_module():
    TopologicalSorter({module: modules_imported(tree) for module, tree in TREES.items()}).prepare()


def test_the_core_has_no_input_output_threads_randomness_or_logging():
    found = {(module, name) for module in in_package("core") for name in imported(TREES[module])}
    assert not [(module, name) for module, name in found if name.split(".")[0] in IMPURE.split()]


def test_the_core_never_reads_the_clock():
    for module in in_package("core"):
        attributes = {node.attr for node in ast.walk(TREES[module]) if isinstance(node, ast.Attribute)}
        assert not attributes & {"now", "utcnow", "today"}, module


def test_only_the_store_knows_the_database():
    for module in TREES.keys() - in_package("store"):
        assert not {name.split(".")[0] for name in imported(TREES[module])} & set(DATABASE.split()), module
        texts = [node.value for node in ast.walk(TREES[module]) if isinstance(node, ast.Constant)]
        assert not [text for text in texts if isinstance(text, str) and SQL.search(text)], module


@pytest.mark.parametrize("module", TREES)
def test_a_file_has_at_most_400_lines(module):
    count = FILES[module].read_text().count("\n")
    assert count <= 400


def test_the_architecture_page_names_each_module_under_its_package():
    lines = (ROOT / "docs/architecture.md").read_text().partition("\n```\n")[2].partition("\n```\n")[0].splitlines()
    shown, package = set(), ""
    for line in lines:
        if not line.startswith(" "):
            package = line.partition("/")[0] if re.match(r"\w+/", line) else ""
        shown |= {f"{package}/{name}".lstrip("/") for name in re.findall(r"[\w/]+\.py\b", line)}
    files = {str(file.relative_to(ROOT / "kala")) for file in FILES.values() if not file.stem.startswith("__")}
    assert sorted(shown) == sorted(files)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_places_that_a_page_for_developers_names_exist(page):
    text = (ROOT / page).read_text()
    for path in re.findall(r"`((?:kala|tests|docs|packaging|systemd|debian|\.ci)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path
    for names, path in re.findall(r"((?:`\w+`(?:, | and )?)+) in `(kala/[\w/]+\.py)`", text):
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(def |class )?{name}\b", (ROOT / path).read_text(), re.MULTILINE), (name, path)
