"""The documentation: `python -m sphinx -W docs docs/_build` builds it, without the network."""

import doctest
import importlib.util
import inspect
import sys
import tomllib
import warnings
from pathlib import Path

from PIL import Image

import skmax

sys.path.insert(0, str(Path(__file__).parent))
from story_order import SMALL_FIGURE

URLS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"].get("urls", {})

project = "skmax"
author = "skmax developers"
copyright = author
version = release = skmax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "literal"
autodoc_typehints = "none"  # numpydoc's sections have the types
numpydoc_show_class_members = False  # the template lists them
toc_object_entries_show_parents = "hide"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
plot_formats = [("png", 120)]
plot_html_show_formats = plot_html_show_source_link = False
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

# Figures are five inches wide, so that letters of ten points can still be read on a screen of 390 pixels.
plot_rcparams = {"figure.figsize": SMALL_FIGURE}

THUMBNAIL = 400, 280
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skmax",),
    "reference_url": {"skmax": None},
    "within_subsection_order": "story_order.StoryOrder",
    "abort_on_example_error": True,
    "reset_modules": ("matplotlib", "story_order.small_figures"),
    "image_srcset": ["2x"],
    "thumbnail_size": THUMBNAIL,
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}
# Warnings in the examples are errors, as they are in the tests.
warnings.filterwarnings("error", module="__main__")

html_theme = "pydata_sphinx_theme"
html_title = "skmax"
# MathJax comes with a package, so that the site needs no other host. Its pages load this one file.
_mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg.js"
html_static_path = ["_static", str(_mathjax)]
mathjax_path = _mathjax.name
html_css_files = ["custom.css"]
html_favicon = "_static/logo.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_theme_options = {
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo.svg", "text": "skmax"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "navigation_with_keys": False,
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "icon_links": [
        {"name": name, "url": url, "icon": icon, "type": "fontawesome"}
        for name, icon in [("Repository", "fa-solid fa-code-branch"), ("Issues", "fa-solid fa-circle-question")]
        if (url := URLS.get(name))
    ],
    "pygments_light_style": "a11y-high-contrast-light",
}
html_baseurl = URLS.get("Documentation", "")
html_sidebars = {page.stem: [] for page in Path(__file__).parent.glob("*.md") if page.stem != "api"}


def _crop_thumbnails(app):
    """In the gallery, the upper part of a tall picture, which as a whole would be a narrow strip."""
    images = Path(app.srcdir) / "gallery" / "images"
    width, height = THUMBNAIL
    for thumbnail in (images / "thumb").glob("*_thumb.png"):
        with Image.open(images / thumbnail.name.replace("_thumb", "_001")) as picture:
            if picture.height > picture.width:
                upper = picture.crop((0, 0, picture.width, picture.width * height // width))
                upper.resize(THUMBNAIL, Image.Resampling.LANCZOS).save(thumbnail)


def _draw_displays(app, what, name, obj, options, lines):
    """The picture that the example in the docstring of a display draws, at the end of its page."""
    if what == "class" and name.endswith("Display"):
        code = "".join(example.source for example in doctest.DocTestParser().get_examples(inspect.getdoc(obj)))
        lines += ["", ".. plot::", "   :include-source: false", ""]
        lines += ["   " + line for line in code.splitlines()] + [""]


def setup(app):
    app.connect("builder-inited", _crop_thumbnails, priority=900)  # after the gallery
    app.connect("autodoc-process-docstring", _draw_displays, priority=900)  # after numpydoc
