"""What the README and the pages of the documentation show is so."""

import ast
import doctest
import importlib.util
import json
import os
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from sklearn.exceptions import ConvergenceWarning

from skmax import SoftmaxRegression, SoftmaxRegressionCV, __version__

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SITE = Path(os.environ.get("SKMAX_SITE", ROOT / "docs" / "_build"))

pytestmark = pytest.mark.skipif(not PAGES[0].exists(), reason="runs in the project's folder")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_prints_what_it_says_it_prints(page):
    if page.name == "guide.md" and importlib.util.find_spec("sklearn.callback") is None:
        pytest.skip("shows callbacks, which scikit-learn has from 1.9 on")
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    assert all(block.startswith(">>> ") for block in blocks)  # else it would not be run
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted >= len(blocks)
    assert result.failed == 0


def test_ci_runs_the_commands_of_all_pages():
    """It runs each shell block of the README and of CONTRIBUTING.md as it stands."""
    commands = {page.name: re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.M | re.S) for page in PAGES}
    run = commands["README.md"] + commands["CONTRIBUTING.md"]
    assert (len(commands["README.md"]), len(commands["CONTRIBUTING.md"])) == (3, 1)
    assert all(command in run for on_page in commands.values() for command in on_page)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_lines_to_change_are_those_that_change_the_answer(page):
    [diff] = re.findall(r"^```diff\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    code = {
        sign: "".join(line[2:] + "\n" for line in diff.splitlines() if line[:1] in (sign, " ", ""))
        for sign in ("-", "+")
    }
    before, after = {}, {}
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        exec(code["-"], before)
    assert before["model"].n_iter_ == 100  # the words of the warning differ between versions
    exec(code["+"], after)
    assert type(before["model"]).__name__ == "LogisticRegression"
    assert after["model"].gap_ <= 1e-6


def test_the_chart_and_the_claims_of_the_front_pages_are_those_of_its_figures():
    from benchmarks import convergence

    figures = json.loads(convergence.DATA.read_text())
    for ground in convergence.INK:
        drawn = (convergence.STATIC / f"convergence-{ground}.svg").read_text(encoding="utf-8")
        assert drawn == convergence.draw(figures, ground)
    for page in ("README.md", "docs/index.md"):
        text = " ".join((ROOT / page).read_text().replace("`", "").split())
        assert convergence.sentence(figures) in text
        assert convergence.in_general(figures) in text


def sections_of_benchmarks():
    """The sections of the pages with benchmarks, by the script that their command names."""
    text = "".join(page.read_text() for page in PAGES if page.name in ("benchmarks.md", "peers.md") and page.exists())
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    return {found[0]: text for text in sections if (found := re.findall(r"`python -m benchmarks\.(\w+)", text))}


@pytest.mark.parametrize("script", sections_of_benchmarks())
def test_the_figures_on_the_pages_of_benchmarks_are_those_of_their_script(script):
    """Each number in a table is in the docstring of the script, or is one of the chart."""
    section = sections_of_benchmarks()[script]
    source = ast.get_docstring(ast.parse((ROOT / "benchmarks" / f"{script}.py").read_text()))
    if script == "convergence":
        from benchmarks import convergence

        figures = json.loads(convergence.DATA.read_text())
        told = convergence.claims(figures)
        seconds = {name: told[name] for name in convergence.SOLVERS} | {"LogisticRegression()": told["default"][0]}
        ratios = {name: time / told["SoftmaxRegression"] for name, time in seconds.items()}
        excess = dict.fromkeys(convergence.SOLVERS, "at most 1e-6")
        excess["LogisticRegression()"] = f"{told['default'][1]:.0e}"
        rows = [
            f"| {name} | {time:.0f} | {ratios[name]:.{int(1 < ratios[name] < 2)}f} | {excess[name]} |"
            for name, time in seconds.items()
        ]
        assert all(row in section for row in rows)
        return
    numbers = r"(?<![\w.,])[-+]?\d[\d.,]*(?:e[-+]?\d+)?(?![\w])"
    known = {number.rstrip(".,") for number in re.findall(numbers, source)}
    rows = re.findall(r"^\|[ :|-]+\|\n((?:\|.*\n)+)", section, re.M)  # of each table, below its header
    assert rows
    found = {number.rstrip(".,") for row in rows for number in re.findall(numbers, row)}
    assert found <= known, f"not in the docstring of benchmarks/{script}.py: {sorted(found - known)}"


def test_the_figures_of_the_chart_are_of_fits_that_end_there():
    """The iterations and distances, which do not depend on the machine's speed."""
    from sklearn.datasets import load_digits

    from benchmarks import convergence

    X, y = load_digits(return_X_y=True)
    curve = json.loads(convergence.DATA.read_text())["curves"]["SoftmaxRegression"]
    objective = SoftmaxRegression(tol=1e-12).fit(X, y).objective_
    with pytest.warns(ConvergenceWarning):
        stopped = SoftmaxRegression(max_iter=curve[0][0]).fit(X, y)
    # Another version of the linear algebra rounds differently, which changes an early iterate a little.
    assert stopped.objective_ - objective == pytest.approx(curve[0][2], rel=0.2)
    assert SoftmaxRegression().fit(X, y).objective_ - objective <= 1e-6


def test_addresses_of_the_project_stand_in_its_metadata_alone():
    """Other pages link to each other, and to papers."""
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"].values()
    folders = (
        "*",
        ".ci/*",
        ".github/**/*",
        "recipe/*",
        "docs/*",
        "docs/_static/*",
        "skmax/**/*",
        "examples/*",
        "benchmarks/*",
    )
    files = {
        path for folder in folders for path in ROOT.glob(folder) if path.is_file() and path.name != "pyproject.toml"
    }
    assert {ROOT / "README.md", ROOT / "skmax" / "_base.py", ROOT / "docs" / "conf.py"} <= files
    for path in files:
        for address in re.findall(r"https?://[^\s)>\"'`]+", path.read_text(encoding="utf-8", errors="ignore")):
            assert "skmax" not in address, f"{path}: {address}"
            assert not any(address.startswith(known) for known in ours), f"{path}: {address}"


def test_the_recipe_has_the_version_and_the_requirements_of_the_project():
    recipe = (ROOT / "recipe" / "recipe.yaml").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"version: {__version__}\n" in recipe
    wanted = project["project"]["dependencies"] + project["build-system"]["requires"]
    for requirement in wanted:
        assert f"- {requirement.replace('>=', ' >=')}\n" in recipe
    assert project["project"]["requires-python"] == ">={}".format(re.search(r'python_min: "(.*)"', recipe)[1])


class Links(HTMLParser):
    """The links of a page, and what they may point to in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        if tag != "a":
            self.loaded += [attributes[name] for name in ("href", "src", "srcset") if attributes.get(name)]
        self.anchors.update(attributes[name] for name in ("id", "name") if attributes.get(name))


@pytest.mark.skipif(not SITE.exists(), reason="the documentation is not built")
def test_no_link_of_the_built_pages_is_broken():
    pages = {path: Links(path.read_text()) for path in SITE.rglob("*.html") if "_static" not in path.parts}
    assert len(pages) > 30
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.exists() or unquote(parts.fragment) not in anchors:
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert not broken


@pytest.mark.skipif(not SITE.exists(), reason="the documentation is not built")
def test_no_page_loads_anything_from_another_host():
    for path in SITE.rglob("*.html"):
        outside = [link for link in Links(path.read_text()).loaded if urlsplit(link).netloc]
        assert not outside, path
    assert any("tex-svg.js" in link for link in Links((SITE / "guide.html").read_text()).loaded)


@pytest.mark.skipif(not SITE.exists(), reason="the documentation is not built")
@pytest.mark.parametrize(
    ("words", "page"),
    [("confidence intervals", "faq"), ("embeddings", "guide"), ("install", "install"), ("C", "faq")],
)
def test_the_search_finds(words, page):
    """A page that has all of the words in its text, by the index of the site's search."""
    from sphinx.search.en import SearchEnglish

    index = json.loads((SITE / "searchindex.js").read_text().removeprefix("Search.setIndex(").removesuffix(")"))
    stem = SearchEnglish({}).stem
    for word in words.lower().split():
        found = [index[part].get(stem(word), []) for part in ("terms", "titleterms")]
        pages = {number for numbers in found for number in (numbers if isinstance(numbers, list) else [numbers])}
        assert page in {index["docnames"][number] for number in pages}


@pytest.mark.skipif(not SITE.exists(), reason="the documentation is not built")
@pytest.mark.parametrize("estimator", [SoftmaxRegression, SoftmaxRegressionCV])
def test_the_html_representation_would_link_to_a_page_that_is_built(monkeypatch, estimator):
    template = "{estimator_module}.{estimator_name}.html"
    monkeypatch.setattr("skmax._base.doc_link_template", lambda: f"https://docs.example/api/{template}")
    link = re.search(r'href="(https://docs[^"]+)"', estimator()._repr_html_())[1]
    assert (SITE / urlsplit(link).path.removeprefix("/")).exists()
