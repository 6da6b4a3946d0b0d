"""What is drawn is where it belongs: nothing covers anything else, nothing is cut off, all can be read."""

import pickle
from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib
from matplotlib import ft2font
from matplotlib.transforms import Bbox
from PIL import Image
from plotting_pictures import BASELINE, DRAWN_WITH, PICTURES, drawn, lightness, pixels, plain_style


def drawn_boxes(ax):
    """The boxes of what is drawn on axes besides texts."""
    for line in ax.lines:
        vertices = line.get_transform().transform_path(line.get_path()).interpolated(4).vertices
        yield from (Bbox([point, point]) for point in vertices)
    yield from (patch.get_window_extent() for patch in ax.patches if patch.get_height())
    for collection in ax.collections:
        offsets = collection.get_offset_transform().transform(collection.get_offsets())
        if len(offsets) > 1:
            yield from (Bbox([point - 1, point + 1]) for point in offsets)
        else:
            for path in collection.get_paths():
                yield path.get_extents(collection.get_transform())
    yield from (image.get_window_extent() for image in ax.images)


def check(figure, texts, labels_outside=True):
    """Check a drawn figure; without ``labels_outside`` only what the displays draw within their axes."""
    if not labels_outside:
        own = {text: ax for ax in figure.axes for text in own_texts(ax)}
        for text, ax in own.items():
            if text in texts:
                assert contains(ax.get_window_extent(), texts[text]) or text is ax.title, f"{text} is outside its axes"
                assert texts[text].width <= ax.get_window_extent().width
        texts = {text: box for text, box in texts.items() if text in own and text is not own[text].title}
    for text, box in texts.items():
        assert contains(figure.bbox, box), f"{text} is cut off"
    for (one, box), (other, other_box) in combinations(texts.items(), 2):
        assert not box.padded(-1).overlaps(other_box.padded(-1)), f"{one} and {other} collide"
    for ax in figure.axes:
        boxes = list(drawn_boxes(ax))
        names = [text for text in ax.texts if text.get_path_effects()]  # among points, with a halo
        if (legend := ax.get_legend()) is not None:
            box = legend.get_window_extent()
            assert contains(ax.get_window_extent(), box), "the legend is outside its axes"
            assert not any(box.overlaps(other) for other in boxes), "the legend covers what is drawn"
        for text in ax.texts:
            if text in texts and text not in names:
                assert not any(texts[text].padded(-1).overlaps(other) for other in boxes), (
                    f"{text} covers what is drawn"
                )


def own_texts(ax):
    return [ax.title, *ax.texts, *(ax.get_legend().get_texts() if ax.get_legend() else [])]


def contains(outer, inner):
    return (inner.min >= outer.min - 1).all() and (inner.max <= outer.max + 1).all()


@pytest.fixture(scope="module", params=PICTURES)
def picture(request):
    """A name, the figure of its display, and the pixels and texts of this."""
    with plain_style():
        figure = PICTURES[request.param](None).figure_
        yield request.param, figure, *drawn(figure)


def test_nothing_collides_and_nothing_is_cut_off(picture):
    _, figure, _, texts = picture
    check(figure, texts)


def test_texts_can_be_read_at_a_width_of_400_pixels(picture):
    _, figure, _, texts = picture
    assert all(text.get_fontsize() / 72 * 400 / figure.get_figwidth() > 6.5 for text in texts)


# ---- stored pictures -----------------------------------------------------------------------------------------

TOLERANCE = 4  # of 255, for the mean lightness of 8 x 8 pixels
as_stored = pytest.mark.skipif(
    (matplotlib.__version__.rsplit(".", 1)[0], ft2font.__freetype_version__) != DRAWN_WITH,
    reason=f"the pictures were drawn with matplotlib and FreeType {DRAWN_WITH}; others draw texts at other sizes",
)


def difference(one, other):
    """The largest difference between the mean lightness of 8 x 8 pixels of two pictures."""
    assert one.shape == other.shape
    height, width = (-(-side // 8) * 8 for side in one.shape)
    apart = np.zeros((height, width))
    apart[: one.shape[0], : one.shape[1]] = one - other
    return np.abs(apart.reshape(height // 8, 8, width // 8, 8).mean((1, 3))).max()


@as_stored
def test_it_is_drawn_as_it_was(picture, tmp_path):
    name, _, lightness_now, _ = picture
    with Image.open(BASELINE / f"{name}.png") as stored:
        apart = difference(lightness_now, lightness(stored))
    if apart > TOLERANCE:
        Image.fromarray(lightness_now.astype(np.uint8)).save(tmp_path / f"{name}.png")
        pytest.fail(f"{apart:.1f} apart: look at {tmp_path / name}.png, and see plotting_pictures.py")


@pytest.mark.parametrize("name", ["images", "classes", "thresholds", "bars"])
def test_a_lost_text_and_a_moved_legend_are_noticed(name):
    with plain_style():
        display = PICTURES[name](None)
        figure, legend = display.figure_, display.ax_.get_legend()
        stored = pixels(figure)
        figure.set_layout_engine("none")  # nothing else moves
        _, texts = drawn(figure)
        smallest = min(texts, key=lambda text: texts[text].width * texts[text].height)
        smallest.set_visible(False)
        assert difference(pixels(figure), stored) > TOLERANCE
        smallest.set_visible(True)
        assert difference(pixels(figure), stored) < TOLERANCE
        if legend is not None:
            legend.set_loc("upper right")
            assert difference(pixels(figure), stored) > TOLERANCE


# ---- other axes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["constrained", None])
@pytest.mark.parametrize("names", [list(PICTURES)[i::4] for i in range(4)], ids=" ".join)
def test_nothing_collides_in_one_of_several_axes(names, layout):
    with plain_style() as plt:
        figure, axes = plt.subplots(2, 3, figsize=(9, 5), layout=layout)
        for name, ax in zip(names, axes.flat, strict=False):
            PICTURES[name](ax)
        check(figure, drawn(figure)[1], labels_outside=layout is not None)


@pytest.mark.parametrize("name", ["classes", "errors", "bars", "wrapped_images"])
def test_what_is_drawn_fits_a_figure_that_is_resized(name):
    with plain_style():
        figure = PICTURES[name](None).figure_
        figure.canvas.draw()
        figure.set_size_inches(3, 2.4)
        figure.canvas.draw()  # other tick labels get their room when it is drawn again
        check(figure, drawn(figure)[1])


@pytest.mark.parametrize("name", ["classes", "errors", "bars", "wrapped_images"])
def test_figures_can_be_pickled(name):
    with plain_style():
        figure = PICTURES[name](None).figure_
        copied = pickle.loads(pickle.dumps(figure))
        np.testing.assert_array_equal(pixels(copied), pixels(figure))


# ---- what others do with the axes ----------------------------------------------------------------------------


def test_limits_and_a_legend_of_the_users_stay():
    with plain_style():
        ax = PICTURES["errors"](None).ax_
        ax.set_ylim(0, 7)
        ax.figure.set_size_inches(3, 2)
        pixels(ax.figure)
        assert ax.get_ylim() == (0, 7)
        legend = ax.legend(["mine"])
        ax.figure.set_size_inches(6, 2)
        pixels(ax.figure)
        assert ax.get_legend() is legend


def test_axes_can_be_cleared_and_removed():
    with plain_style() as plt:
        figure, axes = plt.subplots(1, 2, layout="constrained")
        for ax in axes:
            PICTURES["classes"](ax)
        axes[0].clear()
        axes[1].remove()
        figure.set_size_inches(4, 3)
        _, texts = drawn(figure)
        assert axes[0].get_legend() is None
        assert all(text.get_text()[0].isdigit() for text in texts), "only tick labels are left"


def test_a_subfigure_is_drawn_on():
    with plain_style() as plt:
        figure = plt.figure(figsize=(8, 3), layout="constrained")
        for subfigure, name in zip(figure.subfigures(1, 2), ["errors", "wrapped_images"], strict=True):
            PICTURES[name](subfigure.subplots())
        check(figure, drawn(figure)[1])


@pytest.mark.parametrize("name", ["errors", "wrapped_images", "bars"])
@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_files_of_vectors_can_be_written(name, kind, tmp_path):
    with plain_style() as plt:
        figure = PICTURES[name](plt.subplots(figsize=(3, 2))[1]).figure_
        figure.savefig(tmp_path / f"picture.{kind}", bbox_inches="tight")
    assert (tmp_path / f"picture.{kind}").stat().st_size > 1000


# ---- without colours -----------------------------------------------------------------------------------------


def test_lines_differ_in_style_and_bars_in_lightness_and_hatch():
    with plain_style():
        for name in ("thresholds", "losses", "signal", "sequence_explained"):
            styles = [line.get_linestyle() for line in PICTURES[name](None).ax_.lines if len(line.get_xdata()) > 3]
            assert len(styles) == len({*styles}) > 1, name
        inliers, outliers = (bars[0] for bars in PICTURES["errors"](None).bars_)
    light, dark = (np.dot([0.2126, 0.7152, 0.0722], bar.get_facecolor()[:3]) for bar in (inliers, outliers))
    assert light - dark > 0.15
    assert (inliers.get_hatch(), bool(outliers.get_hatch())) == (None, True)
