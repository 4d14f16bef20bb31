"""The documentation: `python -m sphinx -W docs docs/_build` builds it, without the network."""

import ast
import re
import warnings
from pathlib import Path

import skmax

project = "skmax"
author = "skmax developers"
copyright = author
version = release = skmax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "literal"
autodoc_typehints = "none"  # numpydoc's sections have the types
numpydoc_show_class_members = False  # the template lists them
toc_object_entries_show_parents = "hide"
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skmax",),
    "reference_url": {"skmax": None},
    "within_subsection_order": "ExampleTitleSortKey",
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}
# Warnings in the examples are errors, as they are in the tests.
warnings.filterwarnings("error", module="__main__")

html_theme = "pydata_sphinx_theme"
html_title = "skmax"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_favicon = "_static/logo.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_theme_options = {
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo.svg", "text": "skmax"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navigation_with_keys": False,
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
}
html_sidebars = {
    page: [] for page in ("index", "guide", "coming_from_logistic_regression", "benchmarks", "development")
}


def _fill_in_docstrings(app, page, source):
    """In place of a line "docstring of FILE", FILE's."""

    def docstring(match):
        return ast.get_docstring(ast.parse((Path(app.srcdir).parent / match[1]).read_text()))

    source[0] = re.sub(r"^docstring of (\S+)$", docstring, source[0], flags=re.MULTILINE)


def setup(app):
    app.connect("source-read", _fill_in_docstrings)
