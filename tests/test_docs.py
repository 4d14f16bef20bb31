"""What the README and the pages of the documentation show is so."""

import doctest
import importlib.util
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from skmax import SoftmaxRegression, SoftmaxRegressionCV

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


class Links(HTMLParser):
    """The links of a page, and what they may point to in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
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
@pytest.mark.parametrize("estimator", [SoftmaxRegression, SoftmaxRegressionCV])
def test_the_html_representation_links_to_a_page_that_is_built(estimator):
    link = re.search(r'href="(https://skmax[^"]+)"', estimator()._repr_html_())[1]
    assert (SITE / urlsplit(link).path.removeprefix("/en/latest/")).exists()
