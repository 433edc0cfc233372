"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

os.environ.setdefault("KERAS_BACKEND", "torch")  # its import needs the one that is named

from per_step_dense._version import __version__  # noqa: E402

project = "per_step_dense"
version = release = __version__
html_title = f"per_step_dense {__version__}"
html_theme = "furo"
html_copy_source = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_heading_anchors = 3
nitpicky = False
exclude_patterns = ["_build"]

# Types stand in the signatures' descriptions; torch's own pages are not fetched to link to them.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
