"""Formulas as MathML, which every browser draws by itself, without a network and without a script."""

from docutils import nodes
from latex2mathml.converter import convert


def write(display):
    def visit(translator, node):
        translator.body.append(convert(node.astext(), display=display))
        raise nodes.SkipNode

    return visit, None


def setup(app):
    """Register the renderer for ``html_math_renderer``."""
    app.add_html_math_renderer("mathml", inline_renderers=write("inline"), block_renderers=write("block"))
    return {"parallel_read_safe": True}
