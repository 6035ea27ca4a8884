"""Interactive figures: `{widget} NAME` in a page's text, with a still picture for print and without scripts.

`sscn_ref` computes the data when the book is built. The page itself contains them, because a page opened from the
file system may not load data from other files. The scripts are `_static/widgets/NAME.js`.
"""

from __future__ import annotations

import base64
import html
import json

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from sscn_book.widgets import data, pictures

WIDGETS = {
    "relation": (data.relation, pictures.relation),
    "dilation": (data.dilation, pictures.dilation),
    "numbers": (data.numbers, pictures.numbers),
    "rulebook": (data.rulebook, pictures.rulebook),
    "hashing": (data.hashing, pictures.hashing),
    "tiles": (data.tiles, pictures.tiles),
}
"""For each widget, the function that computes its data and the one that draws its still picture."""


class Widget(nodes.raw):
    """The HTML of one widget; the pages that show it load its scripts."""


class WidgetDirective(Directive):
    """`{widget} NAME`, whose content describes the picture for readers who cannot see it."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        (name,) = self.arguments
        if name not in WIDGETS:
            raise self.error(f"there is no widget {name}; there are {', '.join(WIDGETS)}")
        if not self.content:
            raise self.error(f"the widget {name} needs a description of its picture")
        compute, draw = WIDGETS[name]
        numbers = compute()
        description = html.escape(" ".join(self.content), quote=True)
        picture = base64.b64encode(draw(numbers)).decode()
        text = (
            f'<figure class="widget" id="widget-{name}" data-widget="{name}">'
            f'<script type="application/json">{json.dumps(numbers, separators=(",", ":"))}</script>'
            f'<img class="still" alt="{description}" src="data:image/png;base64,{picture}"/>'
            "</figure>"
        )
        return [Widget("", text, format="html", widget=name)]


def visit_widget(translator: nodes.NodeVisitor, node: Widget) -> None:
    """Write the widget into an HTML page."""
    translator.body.append(node.astext())
    raise nodes.SkipNode


def skip_widget(translator: nodes.NodeVisitor, node: Widget) -> None:
    """Skip the widget in formats other than HTML."""
    raise nodes.SkipNode


def load_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Make a page load the scripts of the widgets on it."""
    names = dict.fromkeys(node["widget"] for node in doctree.findall(Widget)) if doctree else {}
    for name in ["common", *names] if names else []:
        app.add_js_file(f"widgets/{name}.js", loading_method="defer")
    if names:
        app.add_css_file("widgets/widgets.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("widget", WidgetDirective)
    app.add_node(Widget, html=(visit_widget, None), latex=(skip_widget, None), text=(skip_widget, None))
    app.connect("html-page-context", load_scripts)
    return {"parallel_read_safe": True}
