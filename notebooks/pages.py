"""The page of an executed notebook: one HTML file that needs no network."""

from pathlib import Path
from typing import Any

import nbformat
import redaction
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

PARAMETERS = {"parameters", "injected-parameters"}
TEMPLATES = Path(__file__).parent / "templates"


def render(executed: Path) -> Path:
    """Write the page of an executed notebook beside it: one file that needs no network."""
    notebook = nbformat.read(executed, 4)
    notebook.cells = arranged(notebook.cells)
    exporter = HTMLExporter(template_name="report", extra_template_basedirs=[str(TEMPLATES)])
    report = page_parts() | {"title": title_of(notebook), "caption": caption, "themed": themed}
    body, _ = exporter.from_notebook_node(notebook, resources={"report": report})
    page = executed.with_suffix(".html")
    redaction.write(page, body)
    return page


def arranged(cells: list[Any]) -> list[Any]:
    """As a reader wants it: the question, the answer, the wines it is about, the way there, and what it is made with.

    The answer is the cell tagged `headline`, the wines are those tagged `wines`; where no answer was reached, as in a
    notebook that failed, the cells stay as they are. What it is made with ends with the parameters: imports and types,
    with their prose; papermill's cell below them, with the values that were given, belongs to it.
    """
    tagged = {tag: [cell for cell in cells if tag in cell.metadata.get("tags", [])] for tag in ("headline", "wines")}
    if not any(cell.get("outputs") for cell in tagged["headline"]):
        return cells
    title, *others = [cell for cell in cells if cell not in [*tagged["headline"], *tagged["wines"]]]
    first = 1 + max((n for n, cell in enumerate(others) if PARAMETERS & {*cell.metadata.get("tags", [])}), default=-1)
    made_with = [nbformat.v4.new_markdown_cell("## What this page is made with"), *others[:first]] if first else []
    return [title, *tagged["headline"], *tagged["wines"], *others[first:], *made_with]


def page_parts() -> dict[str, Any]:
    """What every page carries inside: style, script and the colours of code."""
    light = HtmlFormatter(style="default", nobackground=True).get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark", nobackground=True).get_style_defs(".highlight")
    return {
        "style": (TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "script": (TEMPLATES / "report.js").read_text(encoding="utf-8"),
        "highlighting": f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}",
    }


def themed(picture: str) -> str:
    """A picture of matplotlib's whose ink, paper and wine red follow the reader's colour scheme, as the page does."""
    for drawn, name in {"#000000": "ink", "#ffffff": "paper", "#7b2d43": "wine"}.items():
        picture = picture.replace(f": {drawn}", f": var(--{name})")
    light, dark = "--ink:#22201e;--paper:#fdfcfa;--wine:#7b2d43", "--ink:#e9e4dd;--paper:#1c1917;--wine:#e39aae"
    style = f"svg{{fill:var(--ink);{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
    return picture.replace("<defs>", f"<defs><style>{style}</style>", 1)


def title_of(notebook: Any) -> str:
    """The first heading."""
    lines = (line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next((line.lstrip("# ") for line in lines if line.startswith("# ")), "Report")


def caption(cell: Any) -> str:
    """A figure's text for who cannot see it, as its cell's metadata has it."""
    return str(cell.metadata.get("caption", "Figure: described in the text above it"))
