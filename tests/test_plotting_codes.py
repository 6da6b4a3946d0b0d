"""Displays of codes: the scatter plot, the manifold and samples."""

from statistics import NormalDist

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from plotting_cases import N_ROWS, X, make_autoencoder, pyplot_without_windows
from sklearn.decomposition import PCA

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    VariationalAutoEncoder,
)
from skae.plotting import CodeDisplay, ManifoldDisplay, SampleDisplay

pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb
from matplotlib.markers import MarkerStyle


@pytest.fixture(autouse=True)
def pyplot():
    yield from pyplot_without_windows()


@pytest.fixture(scope="module")
def autoencoder():
    return make_autoencoder(early_stopping=True).fit(X)


# ---- codes ---------------------------------------------------------------------------------------------------


def test_codes_with_two_components_are_drawn_as_they_are():
    autoencoder = make_autoencoder(n_components=2).fit(X)
    display = CodeDisplay.from_estimator(autoencoder, X)

    assert_array_equal(display.scatter_.get_offsets(), autoencoder.transform(X))
    assert display.legend_ is None
    assert display.colorbar_ is None


def test_codes_with_more_components_are_reduced_by_pca_or_the_given_reducer(autoencoder):
    class FirstTwo:
        def fit_transform(self, Z):
            return Z[:, :2]

    Z = autoencoder.transform(X)
    by_default = CodeDisplay.from_estimator(autoencoder, X)
    by_reducer = CodeDisplay.from_estimator(autoencoder, X, reducer=FirstTwo())

    np.testing.assert_allclose(by_default.scatter_.get_offsets(), PCA(2).fit_transform(Z), rtol=1e-4, atol=1e-6)
    assert_array_equal(by_reducer.scatter_.get_offsets(), Z[:, :2])
    assert by_reducer.ax_.get_xlabel() == "FirstTwo 1"


@pytest.mark.parametrize("n_classes", [1, 2, 20])
@pytest.mark.parametrize("kind", [int, float, str])
def test_each_of_up_to_20_classes_has_its_own_colour_and_marker(n_classes, kind):
    Z, y = np.random.default_rng(0).normal(size=(N_ROWS, 2)), (np.arange(N_ROWS) % n_classes).astype(kind)
    display = CodeDisplay.from_codes(Z, y)

    display.figure_.canvas.draw()
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == [str(name) for name in np.unique(y)]
    looks = {}
    for name, handle in zip(names, display.legend_.legend_handles, strict=True):
        marker = MarkerStyle(handle.get_marker())
        path = marker.get_path().transformed(marker.get_transform())
        looks[name] = to_rgb(handle.get_markerfacecolor()), path.vertices.tolist()
    assert len({str(look) for look in looks.values()}) == n_classes
    assert len({str(marker) for _, marker in looks.values()}) == min(n_classes, 10)
    colors, paths = display.scatter_.get_facecolors(), display.scatter_.get_paths()
    for label, color, path in zip(y, colors, paths, strict=True):
        np.testing.assert_allclose(color[:3], looks[str(label)][0])
        assert path.vertices.tolist() == looks[str(label)][1]


def test_a_marker_of_the_users_is_that_of_all_classes():
    display = CodeDisplay.from_codes(X[:, :2], np.arange(N_ROWS) % 3, scatter_kw={"marker": "x", "linewidths": 1})
    assert len(display.scatter_.get_paths()) == 1
    assert {handle.get_marker() for handle in display.legend_.legend_handles} == {"x"}


def test_names_of_classes_are_at_their_points_where_there_is_room():
    names = np.array(["left", "right", "the same"])
    Z, y = np.repeat([[0.0, 0.0], [5.0, 0.0], [5.0, 0.0]], 20, axis=0), names.repeat(20)
    display = CodeDisplay.from_codes(Z, y)
    assert [(text.get_text(), text.get_position(), text.get_visible()) for text in display.names_] == [
        ("left", (0, 0), True),
        ("right", (5, 0), True),
        ("the same", (5, 0), False),
    ]


@pytest.mark.parametrize("y", [np.linspace(0, 1, N_ROWS), np.arange(N_ROWS), np.repeat([0.5, 1.5], N_ROWS // 2)])
def test_other_numbers_have_a_colour_bar(y):
    display = CodeDisplay.from_codes(np.zeros((N_ROWS, 2)), y)

    assert_array_equal(display.scatter_.get_array(), y)
    assert display.colorbar_ is not None
    assert display.legend_ is None


def test_invalid_number_of_components(autoencoder):
    with pytest.raises(ValueError, match="n_components=1"):
        CodeDisplay.from_estimator(make_autoencoder(n_components=1).fit(X), X)
    with pytest.raises(ValueError, match=r"reducer=PCA.*shape \(60, 3\)"):
        CodeDisplay.from_estimator(autoencoder, X, reducer=PCA(3))
    with pytest.raises(ValueError, match="Z has 12 columns"):
        CodeDisplay.from_codes(X)


def test_invalid_labels_of_codes(pyplot):
    with pytest.raises(ValueError, match="y has 5 labels for 60 rows"):
        CodeDisplay.from_codes(X[:, :2], np.zeros(5))
    with pytest.raises(ValueError, match="y has 60 classes, but at most 20"):
        CodeDisplay.from_codes(X[:, :2], [f"class {i}" for i in range(N_ROWS)])
    assert not pyplot.get_fignums()


# ---- manifold ------------------------------------------------------------------------------------------------


def images_on_axes(display, height, width):
    """Return the image drawn at each position of the grid, (column, row)."""
    n = len(display.steps)
    left, right, bottom, top = display.image_.get_extent()
    assert (left, right, bottom, top) == (-0.5, n - 0.5, -0.5, n - 0.5)
    assert display.image_.origin == "upper"
    pixels = np.asarray(display.image_.get_array())
    assert pixels.shape[:2] == (n * height, n * width)
    return {
        (column, row): pixels[(n - 1 - row) * height :][:height, column * width :][:, :width]
        for column in range(n)
        for row in range(n)
    }


@pytest.mark.parametrize("kind", [VariationalAutoEncoder, AdversarialAutoEncoder])
@pytest.mark.parametrize("image_shape", [(3, 4), (1, 3, 4)])
def test_manifold_decodes_quantiles_of_the_normal_prior(kind, image_shape):
    autoencoder = make_autoencoder(2, kind).fit(X)
    display = ManifoldDisplay.from_estimator(autoencoder, image_shape=image_shape, n_steps=5)

    quantiles = [NormalDist().inv_cdf(share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    np.testing.assert_allclose(display.steps, np.column_stack([quantiles, quantiles]), atol=1e-12)
    for (column, row), image in images_on_axes(display, 3, 4).items():
        code = [[display.steps[column, 0], display.steps[row, 1]]]
        np.testing.assert_allclose(image.ravel(), autoencoder.inverse_transform(code)[0], rtol=1e-5, atol=1e-6)
    assert display.image_.get_clim() == (display.images.min(), display.images.max())


def test_manifold_covers_the_codes_of_the_given_rows():
    autoencoder = make_autoencoder(2).fit(X)
    display = ManifoldDisplay.from_estimator(autoencoder, X, image_shape=(3, 4), n_steps=2)

    Z = autoencoder.transform(X)
    np.testing.assert_allclose(display.steps, np.quantile(Z, [0.25, 0.75], axis=0))
    assert_array_equal(
        display.images[1, 0], autoencoder.inverse_transform([[display.steps[0, 0], display.steps[1, 1]]])[0]
    )
    ticks = {
        axis.get_label_text(): [label.get_text() for label in axis.get_ticklabels()]
        for axis in (display.ax_.xaxis, display.ax_.yaxis)
    }
    assert ticks == {
        f"code {i + 1}": [f"{value:.2g}" for value in np.quantile(Z[:, i], [0.25, 0.75])] for i in range(2)
    }


def test_manifold_of_colour_images_has_channels_last_and_uses_the_whole_scale():
    autoencoder = make_autoencoder(2).fit(X)
    display = ManifoldDisplay.from_estimator(autoencoder, X, image_shape=(3, 2, 2), n_steps=3)

    images = images_on_axes(display, 2, 2)
    scaled = (display.images - display.images.min()) / np.ptp(display.images)
    np.testing.assert_allclose(images[2, 0], scaled[0, 2].reshape(3, 2, 2).transpose(1, 2, 0))
    assert (min(map(np.min, images.values())), max(map(np.max, images.values()))) == (0, 1)


def test_manifold_of_a_class():
    autoencoder = make_autoencoder(2, ConditionalVariationalAutoEncoder).fit(X, np.arange(N_ROWS) % 3)
    options = {"image_shape": (3, 4), "n_steps": 1}
    for y in (None, 0, 2):
        display = ManifoldDisplay.from_estimator(autoencoder, y=y, **options)
        assert_array_equal(display.images[0], autoencoder.inverse_transform([[0.0, 0.0]], y))
    with pytest.raises(ValueError, match=r"y holds \[3\]"):
        ManifoldDisplay.from_estimator(autoencoder, y=3, **options)


@pytest.mark.parametrize(
    ("parameters", "options", "message"),
    [
        ({"n_components": 3}, {}, "n_components=3.*n_components=2"),
        ({}, {"image_shape": (3, 5)}, r"image_shape=\(3, 5\).*12"),
        ({}, {"n_steps": 0}, "n_steps=0 must be 1 or more"),
        ({}, {"y": 1}, "y=1 is not supported for VariationalAutoEncoder, which has no classes"),
        ({"kind": AutoEncoderTransformer}, {}, "X=None .* AutoEncoderTransformer, whose codes have no normal prior"),
        (
            {"kind": AdversarialAutoEncoder, "prior": "uniform"},
            {},
            "X=None .* AdversarialAutoEncoder, whose codes have no normal prior",
        ),
    ],
)
def test_invalid_manifolds(pyplot, parameters, options, message):
    autoencoder = make_autoencoder(**{"n_components": 2, "kind": VariationalAutoEncoder, **parameters}).fit(X)
    with pytest.raises(ValueError, match=message):
        ManifoldDisplay.from_estimator(autoencoder, **{"image_shape": (3, 4), **options})
    assert not pyplot.get_fignums()


# ---- samples -------------------------------------------------------------------------------------------------


def sampled(display):
    return [np.stack([image.get_array() for image in row]) for row in display.images_]


@pytest.mark.parametrize("kind", [VariationalAutoEncoder, AdversarialAutoEncoder])
def test_samples_of_a_model_are_wrapped(kind):
    autoencoder = make_autoencoder(2, kind).fit(X)
    display = SampleDisplay.from_estimator(autoencoder, image_shape=(3, 4), n_samples=13)

    samples = autoencoder.sample(13).reshape(13, 3, 4)
    for row, expected in zip(sampled(display), (samples[:10], samples[10:]), strict=True):
        assert_array_equal(row, expected)
    assert {image.get_clim() for row in display.images_ for image in row} == {(samples.min(), samples.max())}
    assert not display.ax_.texts


def test_samples_of_a_conditional_model_have_a_row_for_each_class():
    autoencoder = make_autoencoder(2, ConditionalVariationalAutoEncoder).fit(
        X, np.array(["b", "a", "c"])[np.arange(N_ROWS) % 3]
    )
    for y, labels in ((None, "abc"), ("b", "b"), (["c", "a"], "ac")):
        display = SampleDisplay.from_estimator(autoencoder, image_shape=(3, 4), n_samples=4, y=y)
        assert [text.get_text() for text in display.ax_.texts] == [*labels]
        for row, label in zip(sampled(display), labels, strict=True):
            assert_array_equal(row, autoencoder.sample(4, y=label)[0].reshape(4, 3, 4))


def test_given_rows_are_drawn_by_class():
    y = np.repeat([7, 3], [2, N_ROWS - 2])
    display = SampleDisplay.from_samples(X, y, image_shape=(3, 4), n_samples=12)
    expected = [X[2:12], X[12:14], X[:2]]
    for row, rows in zip(sampled(display), expected, strict=True):
        assert_array_equal(row, rows.reshape(-1, 3, 4))
    assert [text.get_text() for text in display.ax_.texts] == ["3", "7"]  # a class has one label
    (row,) = sampled(SampleDisplay.from_samples(X, image_shape=(3, 4)))
    assert_array_equal(row, X[:10].reshape(10, 3, 4))


def test_dollar_signs_in_labels_are_no_formula():
    labels = ["$5", "$a$ $"] * (N_ROWS // 2)
    for display in (
        SampleDisplay.from_samples(X, labels, image_shape=(3, 4)),
        CodeDisplay.from_codes(X[:, :2], labels),
    ):
        display.figure_.canvas.draw()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "samples",
    [
        np.full((2, 12), 1e30),
        np.linspace(-6e4, 6e4, 24, dtype=np.float16).reshape(2, 12),
        np.arange(24).reshape(2, 12).astype(object),
        np.where(np.eye(2, 12), np.nan, 0.5),
    ],
)
def test_colours_of_any_range_are_scaled(samples):
    for row in sampled(SampleDisplay(samples=samples, image_shape=(3, 2, 2)).plot()):
        assert ((row >= 0) & (row <= 1)).all()


def test_invalid_samples(pyplot):
    plain, variational = make_autoencoder().fit(X), make_autoencoder(2, VariationalAutoEncoder).fit(X)
    with pytest.raises(
        TypeError, match=r"estimator must have a sample method, but AutoEncoderTransformer has none.*from_samples"
    ):
        SampleDisplay.from_estimator(plain, image_shape=(3, 4))
    with pytest.raises(ValueError, match="y=1 is not supported for VariationalAutoEncoder"):
        SampleDisplay.from_estimator(variational, image_shape=(3, 4), y=1)
    with pytest.raises(ValueError, match="n_samples=0 must be 1 or more"):
        SampleDisplay.from_estimator(variational, image_shape=(3, 4), n_samples=0)
    with pytest.raises(ValueError, match=r"image_shape=\(3, 5\).*12"):
        SampleDisplay.from_estimator(variational, image_shape=(3, 5))
    with pytest.raises(ValueError, match=r"n_samples=2\.5 must be 1 or more, and an integer"):
        SampleDisplay.from_samples(X, image_shape=(3, 4), n_samples=2.5)
    for shape in (None, 12):
        with pytest.raises(ValueError, match=f"image_shape=.*{shape}"):
            SampleDisplay.from_samples(X, image_shape=shape)
    with pytest.raises(ValueError, match="y has 1 labels for 60 rows"):
        SampleDisplay.from_samples(X, [1], image_shape=(3, 4))
    with pytest.raises(ValueError, match="y has no label in 30 rows"):
        SampleDisplay.from_samples(X, [1, np.nan] * 30, image_shape=(3, 4))
    with pytest.raises(ValueError, match=r"y mixes labels of the types \['NoneType', 'str'\]"):
        SampleDisplay.from_samples(X, ["a", None] * 30, image_shape=(3, 4))
    conditional = make_autoencoder(2, ConditionalVariationalAutoEncoder).fit(X, np.arange(N_ROWS) % 2)
    with pytest.raises(ValueError, match=r"y=\[\] holds no class"):
        SampleDisplay.from_estimator(conditional, image_shape=(3, 4), y=[])
    assert not pyplot.get_fignums()
