"""Formulas as MathML, which every browser draws by itself, without a network and without a script."""

import re

from docutils import nodes
from latex2mathml.converter import convert

NAMES = re.compile(
    r"(<mi>(?:exp|log)</mi>)(?!<mo)"
)  # of functions, which stand apart from their arguments


def write(display):
    def visit(translator, node):
        formula = convert(node.astext(), display=display)
        translator.body.append(NAMES.sub(r'\1<mspace width="0.17em"/>', formula))
        raise nodes.SkipNode

    return visit, None


def setup(app):
    """Register the renderer for ``html_math_renderer``."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=write("inline"), block_renderers=write("block")
    )
    return {"parallel_read_safe": True}
