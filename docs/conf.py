"""How `make docs` builds the site: Sphinx with MyST, every link held, nothing fetched by a reader's browser."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "scripts"))

import reference  # noqa: E402

import riskloop  # noqa: E402

project = "riskloop"
release = version = riskloop.__version__
author = "riskloop"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"riskloop {riskloop.__version__}"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"source_directory": "docs/"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
toc_object_entries = False

# The reference is what the code says of itself, anew with each build.
reference.write(DOCS / "reference")
