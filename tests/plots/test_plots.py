"""Every figure: renders, shows what it says, refuses what it cannot draw."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

import flipgrad.plots
from flipgrad import plots
from flipgrad.errors import InputError
from flipgrad.plots import _style

ROWS = 40


@pytest.fixture
def data():
    """(n, 2) points with class and domain numbers; both domains have every class."""
    points = np.random.default_rng(0).normal(size=(ROWS, 2))
    return points, np.arange(ROWS) % 4, np.arange(ROWS) // (ROWS // 2)


def pixels(figure):
    """The figure as its PNG shows it, (height, width, 3); fails where the PNG is blank."""
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60, bbox_inches="tight")
    assert file.getvalue().startswith(b"\x89PNG")
    shown = np.asarray(Image.open(file).convert("RGB"))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 10
    return shown


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def face_colors(axes):
    return {to_hex(c) for drawn in axes.collections for c in drawn.get_facecolors()}


def test_no_global_state(tmp_path):
    """Neither pyplot nor Keras is imported, and no rcParams change."""
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from flipgrad import plots\n"
        "plots.accuracy_bars([dict(mode='dann', target_accuracy=.5)]).savefig(sys.argv[1])\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "bad = {'matplotlib.pyplot', 'keras', 'tensorflow'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    source = str(Path(flipgrad.plots.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bars.png")],
        env=dict(os.environ, PYTHONPATH=source),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class TestScatter:
    def test_colour_is_the_class_and_mark_the_domain(self, data):
        x, y, _ = data
        figure = plots.scatter(x[:20], y[:20], x[20:], y[20:], "Blobs")
        pixels(figure)
        (axes,) = figure.axes
        assert len(axes.collections) == 2
        assert face_colors(axes) == set(_style.PALETTE[:4])
        (legend,) = figure.legends
        assert texts(legend) == ["class 0", "class 1", "class 2", "class 3", "source", "target"]
        assert figure.get_suptitle() == "Blobs"
        assert "feature 1" in axes.get_xlabel()

    def test_target_without_labels_is_grey(self, data):
        x, y, _ = data
        figure = plots.scatter(x[:20], y[:20], x[20:])
        source, target = figure.axes[0].collections
        assert {to_hex(c) for c in target.get_facecolors()} == {_style.NEUTRAL}
        assert len(source.get_offsets()) == len(target.get_offsets()) == 20
        assert texts(figure.legends[0])[-1] == "target (no labels)"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"source_x": np.ones((20, 3))}, r"source_x: expected shape \(n, 2\)"),
            ({"source_y": np.zeros(19)}, r"source_y: expected shape \(20,\).*received \(19,\)"),
            ({"target_x": np.full((5, 2), np.nan)}, "target_x.*5 rows, the first 0"),
            ({"target_x": np.ones((0, 2))}, "target_x"),
            ({"target_y": np.eye(20)}, "target_y.*one-hot"),
            ({"source_y": np.full(20, 0.5)}, "source_y: expected whole numbers"),
            ({"source_y": np.full(20, -1)}, "source_y.*received -1 to -1"),
            ({"source_y": np.full(20, np.nan)}, "source_y: expected whole numbers"),
            ({"source_y": ["a"] * 20}, "source_y: expected whole numbers"),
        ],
    )
    def test_refuses(self, data, change, message):
        x, y, _ = data
        good = {"source_x": x[:20], "source_y": y[:20], "target_x": x[20:]}
        with pytest.raises(InputError, match=message):
            plots.scatter(**{**good, **change})


class TestImageGrid:
    def test_places_images_row_by_row(self):
        images = np.repeat(np.arange(6, dtype=np.uint8), 64).reshape(6, 8, 8) * 40
        figure = plots.image_grid(images, None, rows=2, columns=2, title="Four of six")
        pixels(figure)
        (shown,) = figure.axes[0].images
        canvas = np.asarray(shown.get_array())
        assert canvas.shape == (2 * 9, 2 * 9 - 1)
        corners = [canvas[1, 0], canvas[1, 9], canvas[10, 0], canvas[10, 9]]
        assert corners == [0, 40, 80, 120]
        assert shown.get_clim() == (0, 255)  # brightness as it is, not stretched

    def test_labels_and_a_last_row_that_is_not_full(self):
        images = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), dtype=np.uint8)
        figure = plots.image_grid(images, ["a", "b", "c", "d", 5], rows=3, columns=4)
        pixels(figure)
        assert [text.get_text() for text in figure.axes[0].texts] == ["a", "b", "c", "d", "5"]
        canvas = np.asarray(figure.axes[0].images[0].get_array())
        assert (canvas[-8:, 9:] == 255).all()
        assert (canvas[-8:, :8] == images[4]).all()

    def test_one_channel_is_grey(self):
        images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 1), dtype=np.uint8)
        canvas = plots.image_grid(images).axes[0].images[0].get_array()
        assert canvas.ndim == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((np.zeros((2, 8, 8)),), "uint8 from 0 to 255, received float64"),
            ((np.zeros((2, 3, 8, 8), np.uint8),), "put the channels last"),
            ((np.zeros((0, 8, 8), np.uint8),), r"received \(0, 8, 8\)"),
            ((np.zeros((8, 8), np.uint8),), r"received \(8, 8\)"),
            ((np.zeros((2, 8, 8), np.uint8), [1]), "labels: expected 2.*received 1"),
            ((np.zeros((2, 8, 8), np.uint8), None, 0), "rows, columns"),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(InputError, match=message):
            plots.image_grid(*arguments)


class TestReduction:
    def test_pca_finds_the_widest_directions(self):
        random = np.random.default_rng(0)
        features = random.normal(size=(200, 5)) * [0.1, 10, 0.1, 3, 0.1]
        points = plots.pca(features, seed=0)
        assert points.shape == (200, 2)
        assert points.dtype == np.float64
        for column, feature in ((0, 1), (1, 3)):
            assert abs(np.corrcoef(points[:, column], features[:, feature])[0, 1]) > 0.99

    def test_tsne_keeps_clusters_and_repeats(self):
        random = np.random.default_rng(0)
        side = np.arange(60) % 2
        features = random.normal(size=(60, 80)) + 20 * side[:, None]  # wider than 50
        points = plots.tsne(features, seed=3)
        assert points.shape == (60, 2)
        assert points.dtype == np.float64
        distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
        np.fill_diagonal(distance, np.inf)
        assert (side[distance.argmin(axis=1)] == side).all()
        np.testing.assert_array_equal(points, plots.tsne(features, seed=3))

    @pytest.mark.parametrize("reduce", [plots.pca, plots.tsne])
    def test_few_or_equal_rows(self, reduce):
        assert np.isfinite(reduce(np.random.default_rng(0).normal(size=(4, 70)), 0)).all()
        np.testing.assert_array_equal(reduce(np.ones((10, 8)), 0), np.zeros((10, 2)))

    @pytest.mark.parametrize("reduce", [plots.pca, plots.tsne])
    @pytest.mark.parametrize(
        ("features", "message"),
        [
            (np.ones((10, 4, 4)), r"\(10, 4, 4\)"),
            (np.ones((1, 4)), r"\(1, 4\)"),
            (np.ones((10, 1)), r"\(10, 1\)"),
            (np.full((10, 4), np.inf), "10 rows"),
            (np.array([["a", "b"]] * 9), "expected numbers"),
        ],
    )
    def test_refuses(self, reduce, features, message):
        with pytest.raises(InputError, match=message):
            reduce(features, 0)


class TestEmbedding:
    def test_panels_by_class_and_by_domain(self, data):
        figure = plots.embedding(*data, title="Features")
        pixels(figure)
        by_class, by_domain = figure.axes
        assert face_colors(by_class) == set(_style.PALETTE[:4])
        assert face_colors(by_domain) == set(_style.DOMAIN_COLORS)
        assert texts(by_class.get_legend()) == ["0", "1", "2", "3"]
        assert texts(by_domain.get_legend()) == ["source", "target"]

    def test_each_point_has_the_colour_of_its_domain(self, data):
        points, labels, domains = data
        (drawn,) = plots.embedding(points, labels, domains).axes[1].collections
        place = {tuple(point): domain for point, domain in zip(points, domains, strict=True)}
        pairs = zip(drawn.get_offsets(), drawn.get_facecolors(), strict=True)
        for offset, shade in pairs:
            assert to_hex(shade) == _style.DOMAIN_COLORS[place[tuple(offset)]]

    def test_digits_as_marks(self, data):
        figure = plots.embedding(*data, digits_as_marks=True)
        pixels(figure)
        (axes,) = figure.axes
        assert len(axes.collections) == 4 * 2  # a mark for each class and domain
        assert sum(len(drawn.get_offsets()) for drawn in axes.collections) == ROWS
        assert face_colors(axes) == set(_style.DOMAIN_COLORS)

    @pytest.mark.parametrize("digits", [False, True])
    def test_before_after(self, data, digits):
        points, labels, domains = data
        figure = plots.before_after(points, -points, labels, domains, ("A", "B"), digits)
        pixels(figure)
        assert [axes.get_title() for axes in figure.axes] == ["A", "B"]
        assert all(texts(axes.get_legend()) == ["source", "target"] for axes in figure.axes)
        assert all(face_colors(axes) == set(_style.DOMAIN_COLORS) for axes in figure.axes)
        before, after = (np.concatenate([drawn.get_offsets() for drawn in axes.collections]) for axes in figure.axes)
        np.testing.assert_array_equal(before, -after)

    def test_refuses(self, data):
        points, labels, domains = data
        with pytest.raises(InputError, match=r"points: expected shape \(n, 2\)"):
            plots.embedding(np.ones((ROWS, 3)), labels, domains)
        with pytest.raises(InputError, match="labels"):
            plots.embedding(points, labels[:-1], domains)
        with pytest.raises(InputError, match="domains: expected numbers from 0 to 1"):
            plots.embedding(points, labels, domains + 1)
        with pytest.raises(InputError, match="points_after"):
            plots.before_after(points, points[:, :1], labels, domains)


def history(epochs=5):
    names = ["loss", "val_loss", "accuracy", "val_accuracy", "domain_accuracy", "strength"]
    return {name: list(np.linspace(0.2, 0.9, epochs)) for name in names}


class TestCurves:
    def test_panels_and_legends(self):
        figure = plots.curves(history(), title="DANN")
        pixels(figure)
        labels = [axes.get_ylabel() for axes in figure.axes]
        assert labels == [
            "loss",
            "accuracy (share of 1)",
            "domain accuracy (share of 1)",
            "strength (no unit)",
        ]
        loss, accuracy, domain, strength = figure.axes
        assert texts(loss.get_legend()) == texts(accuracy.get_legend()) == ["training", "validation"]
        assert texts(domain.get_legend()) == ["training", "chance"]
        assert domain.lines[-1].get_ydata()[0] == 0.5
        assert strength.get_legend() is None
        assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}
        np.testing.assert_array_equal(loss.lines[0].get_xdata(), [1, 2, 3, 4, 5])

    def test_missing_values_are_left_out(self):
        values = {
            "loss": [1.0, None, float("nan"), 0.5],
            "val_loss": [None] * 4,
            "strength": [float("nan")] * 4,
            "accuracy": [],
        }
        figure = plots.curves(values)
        pixels(figure)
        (axes,) = figure.axes
        (line,) = axes.lines
        assert line.get_xydata().tolist() == [[1, 1.0], [4, 0.5]]

    def test_several_runs(self):
        runs = {(mode, seed): history() for mode in ("source", "dann") for seed in (0, 1)}
        runs["source", 1]["domain_accuracy"] = [None] * 5
        figure = plots.curves(runs)
        pixels(figure)
        (legend,) = figure.legends
        assert texts(legend) == ["source", "dann"]
        loss, _, domain, _ = figure.axes
        assert len(loss.lines) == 8
        assert {line.get_color() for line in loss.lines} == set(_style.PALETTE[:2])
        assert len({line.get_linestyle() for line in loss.lines}) == 2
        assert len(domain.lines) == 3 + 1  # one run has no value; one line is chance

    def test_x(self):
        figure = plots.curves({"loss": [2.0, 1.0]}, x=[100, 200, 300], x_label="step")
        (axes,) = figure.axes
        assert axes.get_xlabel() == "step"
        assert axes.lines[0].get_xdata().tolist() == [100, 200]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (({},), "received none"),
            (({"loss": [None]},), "received none"),
            (({"loss": ["low"]},), "'loss': expected a list of numbers"),
            (({"loss": 0.5},), "'loss': expected a list of numbers"),
            (({"loss": [1, 2, 3]}, [1, 2]), "each of the 3 values of 'loss', received 2"),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(InputError, match=message):
            plots.curves(*arguments)


class TestAccuracyBars:
    def test_bars_are_means_and_points_seeds(self):
        rows = [
            {"mode": "source", "seed": 0, "source_accuracy": 1.0, "target_accuracy": 0.5},
            {"mode": "dann", "seed": 0, "source_accuracy": 0.9, "target_accuracy": 0.75},
            {"mode": "dann", "seed": 1, "source_accuracy": None, "target_accuracy": 0.25},
            {"mode": "domain", "seed": 0, "target_accuracy": float("nan")},
        ]
        figure = plots.accuracy_bars(rows, "Results")
        pixels(figure)
        (axes,) = figure.axes
        assert [bar.get_height() for bar in axes.patches] == [1.0, 0.5, 0.9, 0.5]
        assert [text.get_text() for text in axes.texts] == ["1.000", "0.500", "0.900", "0.500"]
        points = [drawn.get_offsets()[:, 1].tolist() for drawn in axes.collections]
        assert points == [[1.0], [0.5], [0.9], [0.75, 0.25]]
        ticks = [label.get_text() for label in axes.get_xticklabels()]
        assert ticks == ["source\n1 seed", "dann\n2 seeds"]  # no place for a mode without results
        assert texts(axes.get_legend()) == ["mean on source", "mean on target", "one seed"]

    def test_refuses(self):
        with pytest.raises(InputError, match="received none"):
            plots.accuracy_bars([{"mode": "dann", "target_accuracy": None}])
        with pytest.raises(InputError, match="received none"):
            plots.accuracy_bars([])
        with pytest.raises(InputError, match="target_accuracy: expected 0 to 1, received 75"):
            plots.accuracy_bars([{"mode": "dann", "target_accuracy": 75.0}])


def test_no_label_is_cut_off(data):
    """All text lies inside the figure as it is, without the help of a tight box."""
    figures = [
        plots.curves({("a long mode name", 0): history(), ("dann", 0): history()}, title="Title"),
        plots.embedding(*data, title="Title"),
        plots.accuracy_bars([{"mode": "dann", "target_accuracy": 0.5}], "Title"),
        plots.scatter(*data[:2], *data[:2], "Title"),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO(), format="png")
        width, height = figure.bbox.size
        box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
