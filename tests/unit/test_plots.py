"""Figures: what they draw, said in numbers."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.colors import to_rgb
from skimage.segmentation import find_boundaries

from zcdl_common import plots
from zcdl_common.plots.galleries import Example
from zcdl_common.plots.images import colour, contrast, flatten, micrometres, resize, round_length, scale_bar
from zcdl_common.plots.labels import metric_label
from zcdl_common.plots.segmentation import error_map, outlines, overlay, thicken
from zcdl_common.plots.style import CLASS_COLOURS, COLOURS, ERROR_COLOURS, columns, new_figure, shorten

RNG = np.random.default_rng(0)
SOURCE = RNG.integers(0, 4000, (60, 90, 1), dtype=np.uint16)
MASK = (np.indices((60, 90)).sum(0) // 20 % 3).astype(np.int32)
VOLUME = RNG.random((9, 40, 50, 2)).astype(np.float32)
VOLUME_MASK = (VOLUME[..., 0] > 0.7).astype(np.int32)
LOSSES = [
    {
        "epoch": e,
        "loss": 1 / e,
        "val_loss": abs(e - 6) + 1.0,
        "learning_rate": 1e-3 / e,
        "seconds": 1.0,
        "val_iou": 0.5,
    }
    for e in range(1, 11)
]
METRICS = [
    {"image": f"i{i}", "iou": 0.8 + i / 50, "dice": 0.9, "classical_iou": 0.7 + i / 60, "classical_dice": 0.8}
    for i in range(6)
]


def texts(figure):
    """Everything a reader reads in a figure, drawn first so that layout has happened."""
    from matplotlib.text import Text

    figure.canvas.draw()
    return [t.get_text() for t in figure.findobj(Text) if t.get_text() and t.get_visible()]


def example(score=0.8, **changes):
    values = {
        "name": "a",
        "source": SOURCE,
        "network": MASK,
        "truth": MASK,
        "classical": MASK,
        "score": score,
    }
    return Example(**{**values, "classical_score": 0.5, **changes})


ALL = {
    "pairs": lambda: plots.pairs([SOURCE], [MASK], ["a.tif"], pixel_size=(0.1, 0.1)),
    "pairs 3D": lambda: plots.pairs([VOLUME], [VOLUME_MASK], pixel_size=(1.0, 0.2, 0.2)),
    "patches": lambda: plots.patches([(SOURCE, MASK)], [(SOURCE[::-1], MASK[::-1])]),
    "losses": lambda: plots.losses(LOSSES),
    "live": lambda: plots.live(LOSSES, SOURCE, MASK, MASK, 0.7, metric="iou"),
    "live 3D": lambda: plots.live(LOSSES, VOLUME, VOLUME_MASK),
    "examples": lambda: plots.examples([example(), example(classical=None)]),
    "examples 3D": lambda: plots.examples(
        [example(source=VOLUME, network=VOLUME_MASK, truth=VOLUME_MASK, classical=None)]
    ),
    "worst": lambda: plots.worst([example(), example(), example(), example()]),
    "threshold_curve": lambda: plots.threshold_curve([0.1, 0.5, 0.9], [0.2, 0.8, 0.3], 0.5),
    "scores": lambda: plots.scores(
        METRICS, {"primary": "iou", "metrics": {"iou": {"network": {"mean": 0.8, "ci95": None}}}}
    ),
    "no pairs": lambda: plots.pairs([], []),
    "no patches": lambda: plots.patches([], []),
    "no losses": lambda: plots.losses([]),
    "no examples": lambda: plots.examples([]),
    "no worst": lambda: plots.worst([example(score=None)]),
    "no scores": lambda: plots.scores([]),
}


@pytest.mark.parametrize("name", ALL)
def test_every_figure_becomes_a_png_with_all_its_labels_inside(name):
    figure = ALL[name]()
    assert plots.png(figure).startswith(b"\x89PNG")
    page = figure.bbox
    for text in figure.texts + [
        t for axes in figure.axes for t in (axes.title, axes.xaxis.label, axes.yaxis.label)
    ]:
        if text.get_text() and text.get_visible():
            box = text.get_window_extent()
            assert box.y0 > -2 and box.y1 < page.y1 + 2 and box.x0 > -2, text.get_text()


def test_figures_are_drawn_without_pyplot_or_a_backend_in_threads():
    code = (
        "import sys, numpy as np; from zcdl_common import plots;"
        "assert 'matplotlib' not in sys.modules;"
        "plots.png(plots.pairs([np.eye(40)[..., None]], [np.eye(40, dtype=int)]));"
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: plots.png(plots.losses(LOSSES)), range(4)))
    assert len(set(drawn)) == 1


def test_save_writes_png_whatever_the_name_and_leaves_no_temporary_file(tmp_path):
    path = plots.save(plots.losses(LOSSES), tmp_path / "new" / "curves.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in path.parent.iterdir()] == ["curves.png"]


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.floats(width=32))
)
def test_contrast_stays_in_range_for_any_pixels(image):
    with np.errstate(all="ignore"):
        shown = contrast(image)
    assert shown.shape == image.shape and shown.dtype == np.float32
    assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 1


def test_contrast_is_the_percentile_stretch():
    image = RNG.normal(size=(50, 50))
    low, high = np.percentile(image, [1, 99.8])
    np.testing.assert_allclose(contrast(image), np.clip((image - low) / (high - low), 0, 1), atol=1e-5)


@pytest.mark.parametrize("image", [np.full((5, 5), 7), np.full((5, 5), np.nan)], ids=["constant", "only NaN"])
def test_an_image_without_contrast_is_black(image):
    assert not contrast(image).any()


def test_a_few_bright_pixels_on_nothing_are_still_seen():
    image = np.zeros((100, 100))
    image[3, 4] = 5
    assert contrast(image)[3, 4] == 1 and contrast(image).sum() == 1


@given(st.integers(1, 900), st.integers(1, 900), st.integers(50, 400))
@settings(max_examples=60)
def test_resizing_comes_near_the_wanted_side_and_keeps_the_classes(height, width, side):
    mask = (np.add.outer(np.arange(height), np.arange(width)) % 3).astype(np.int32)
    small, smooth = resize(mask, side, smooth=False), resize(mask[..., None], side)
    assert small.shape == smooth.shape[:2]
    assert set(np.unique(small)) <= {0, 1, 2}
    assert side / 2 - 1 <= max(small.shape) <= 1.5 * side + 1


def test_shrinking_an_image_averages_and_a_mask_keeps_whole_numbers():
    image = np.arange(16.0).reshape(4, 4)
    np.testing.assert_allclose(resize(image, 2), [[2.5, 4.5], [10.5, 12.5]])
    assert resize(image.astype(int), 2, smooth=False).tolist() == [[5, 7], [13, 15]]


def test_a_volume_shows_middle_plane_above_its_side_view_in_proportion():
    volume = np.arange(4 * 30 * 5).reshape(4, 30, 5)
    flat = flatten(volume, 3, (2.0, 0.5, 0.5))
    np.testing.assert_array_equal(flat[:30], volume[2])
    np.testing.assert_array_equal(flat[30:], volume[:, 15].repeat(4, axis=0))
    np.testing.assert_array_equal(flatten(volume, 3)[30:], volume[:, 15])


def test_the_side_view_is_never_taller_than_the_plane():
    assert flatten(np.zeros((20, 30, 5)), 3, (9.0, 0.1, 0.1)).shape == (60, 5)


@pytest.mark.parametrize(
    ("count", "dtype", "note"),
    [
        (1, np.uint16, ""),
        (2, np.float32, "channel 0 cyan, channel 1 magenta"),
        (3, np.uint8, ""),
        (3, np.uint16, "channel 0 cyan, channel 1 magenta, channel 2 yellow"),
        (5, np.uint8, "channel 0 cyan, channel 1 magenta, channel 2 yellow (of 5 channels)"),
    ],
)
def test_any_number_of_channels_is_shown_and_said(count, dtype, note):
    picture, said = colour(RNG.integers(0, 255, (20, 30, count)).astype(dtype))
    assert picture.shape[2] == 3 and picture.min() >= 0 and picture.max() <= 1
    assert said == note


def test_channels_take_their_colours():
    image = np.zeros((8, 8, 2))
    image[:4, :, 0], image[:, :4, 1] = 1, 1
    picture = resize(colour(image)[0], 8)
    np.testing.assert_allclose(picture[0, 7], [0, 1, 1])
    np.testing.assert_allclose(picture[7, 0], [1, 0, 1])
    np.testing.assert_allclose(picture[7, 7], 0)


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 3)))
def test_outlines_are_the_inner_boundaries_of_scikit_image(classes):
    np.testing.assert_array_equal(outlines(classes), find_boundaries(classes, connectivity=1, mode="inner"))


def test_outlines_widen_by_one_pixel():
    edge = np.zeros((5, 5), dtype=bool)
    edge[2, 2] = True
    assert thicken(edge).astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_an_overlay_paints_inside_the_objects_only():
    classes = np.zeros((12, 12), dtype=np.int32)
    classes[2:10, 2:10] = 1
    picture = np.full((12, 12, 3), 0.5, dtype=np.float32)
    painted = overlay(picture, classes, fill=0.2)
    np.testing.assert_array_equal(painted[classes == 0], picture[classes == 0])
    np.testing.assert_allclose(painted[2, 5], to_rgb(CLASS_COLOURS[0]), atol=1e-6)
    np.testing.assert_allclose(painted[6, 6], 0.8 * 0.5 + 0.2 * np.array(to_rgb(CLASS_COLOURS[0])), atol=1e-6)
    assert (picture == 0.5).all()


def test_error_maps_tell_the_four_outcomes_and_a_wrong_class_apart():
    shown = error_map(np.array([[0, 1, 0, 1, 2]]), np.array([[0, 1, 1, 0, 1]]))
    kinds = ("background", "right", "too much", "missed", "wrong class")
    np.testing.assert_allclose(shown[0], [to_rgb(ERROR_COLOURS[kind]) for kind in kinds], atol=1e-6)


DEUTERANOPIA = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
PROTANOPIA = np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]])


@pytest.mark.parametrize("vision", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["normal", "deutan", "protan"])
@pytest.mark.parametrize(
    "names", [tuple(ERROR_COLOURS.values()), (COLOURS["network"], COLOURS["classical"], COLOURS["input"])]
)
def test_colours_that_stand_together_differ_for_colour_blind_readers(vision, names):
    # matrices of Machado, Oliveira and Fernandes (2009), severity 1.0, https://doi.org/10.1109/TVCG.2009.113
    from skimage.color import deltaE_ciede2000, rgb2lab

    linear = np.array([to_rgb(name) for name in names]) ** 2.2
    seen = rgb2lab(np.clip(linear @ vision.T, 0, 1) ** (1 / 2.2))
    apart = deltaE_ciede2000(seen[:, None], seen[None])
    assert apart[~np.eye(len(names), dtype=bool)].min() > 10


@given(st.floats(1e-3, 1e5))
def test_scale_bars_have_round_lengths_no_longer_than_asked(length):
    bar = round_length(length)
    assert 0.39 * length < bar <= length * (1 + 1e-6)
    assert f"{bar:.0e}"[0] in "125"


def test_a_scale_bar_is_as_long_as_it_says():
    axes = new_figure(3, 3).subplots()
    plots.draw_segmentation(axes, SOURCE, None)
    assert scale_bar(axes, 90, (0.5, 0.5)) == 10.0
    assert scale_bar(axes, 90, None) is None
    texts_ = texts(axes.figure)
    assert "10 µm" in texts_
    bar = axes.artists[0].size_bar.get_children()[0]
    assert bar.get_width() == pytest.approx(20)


@pytest.mark.parametrize(("length", "text"), [(0.2, "200 nm"), (5, "5 µm"), (2000, "2 mm")])
def test_lengths_take_the_unit_that_reads_best(length, text):
    assert micrometres(length) == text


def test_no_epoch_is_marked_where_none_is_picked():
    rows = [{"epoch": n, "loss": 1 / n, "val_loss": 2 / n, "learning_rate": 1e-3} for n in range(1, 5)]
    image = np.zeros((8, 8, 1))
    for figure in (plots.losses(rows, picked=False), plots.live(rows, image, image[..., 0], picked=False)):
        assert "best" not in " ".join(texts(figure))


def test_the_best_epoch_is_marked_and_log_and_rate_have_their_panels():
    figure = plots.losses(LOSSES)
    assert plots.best_epoch(LOSSES) == 6
    assert "best: epoch 6" in texts(figure)

    assert [axes.get_yscale() for axes in figure.axes[:2]] == ["linear", "log"]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[-1] == "Learning rate" and "Scores of the validation images" in titles
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [row["loss"] for row in LOSSES])


def test_a_logarithmic_axis_over_a_narrow_range_has_several_numbers():
    table = [{**row, "loss": 1 + row["epoch"] / 50, "val_loss": 1.1} for row in LOSSES]
    figure = plots.losses(table)
    figure.canvas.draw()
    low, high = figure.axes[1].get_ylim()
    assert sum(low <= tick <= high for tick in figure.axes[1].get_yticks()) >= 3


def test_the_chosen_threshold_is_named():
    assert any("0.45" in text for text in texts(plots.threshold_curve([0, 1], [0.2, 0.3], 0.45)))


def test_a_single_epoch_is_a_point_in_every_panel():
    row = {"epoch": 1, "loss": 1.0, "val_loss": 2.0, "val_iou": 0.5, "learning_rate": 1e-3}
    for panel in plots.losses([row]).axes:
        assert all(line.get_marker() not in ("", "None") for line in panel.get_lines()), panel.get_ylabel()
    rate = next(a for a in plots.losses(LOSSES).axes if a.get_ylabel() == "rate")
    assert rate.get_lines()[0].get_marker() == ""


def test_losses_below_zero_get_no_logarithmic_panel():
    table = [{**row, "loss": -row["loss"]} for row in LOSSES]
    assert all(axes.get_yscale() == "linear" for axes in plots.losses(table).axes)


def test_tables_are_read_as_rows_columns_or_data_frame():
    frame = pd.DataFrame(LOSSES)
    assert columns(LOSSES) == columns(frame) == columns(frame.to_dict("list"))
    rows = [{k: str(v) for k, v in row.items()} for row in LOSSES]
    assert plots.best_epoch(rows) in (6, "6")


def test_a_table_with_gaps_is_drawn():
    table = [*LOSSES[:3], {"epoch": 4, "loss": 0.3}, {"epoch": 5, "loss": float("nan"), "val_loss": ""}]
    assert plots.png(plots.losses(table))
    assert plots.best_epoch([{"epoch": 1, "loss": 1}]) is None


def test_scores_show_every_image_and_the_interval_of_the_summary():
    stats = {"network": {"mean": 0.85, "ci95": [0.8, 0.9]}, "classical": {"mean": 0.75, "ci95": None}}
    figure = plots.scores(METRICS, {"primary": "iou", "metrics": {"dice": {}, "iou": stats}})
    first = figure.axes[0]
    assert first.get_ylabel() == "IoU"
    dots = [line for line in first.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[1].get_ydata(), [row["iou"] for row in METRICS])
    assert any(np.array_equal(line.get_ydata(), [0.8, 0.9]) for line in first.lines)
    assert {"0.850", "0.750"} <= set(texts(figure))


def test_scores_that_are_better_low_say_so():
    figure = plots.scores([{"image": "a", "nrmse": 0.1, "classical_nrmse": 0.2}])
    assert "lower is better" in texts(figure)


@pytest.mark.parametrize(("metric", "first"), [("iou", "bad"), ("nrmse", "good")])
def test_the_worst_gallery_begins_with_the_worst(metric, first):
    scores = {"good": 0.9, "bad": 0.1, "fair": 0.8, "poor": 0.2}
    rows = [example(score, name=name) for name, score in scores.items()]
    names = [t for t in texts(plots.worst(rows, metric=metric)) if t in scores]
    assert names == [first, {"bad": "poor", "good": "fair"}[first]], "and none that is better than the mean"


def test_the_worst_gallery_shows_one_of_images_that_score_alike():
    rows = [example(1.0, name=name) for name in ("one", "two", "three")]
    assert sum(text in ("one", "two", "three") for text in texts(plots.worst(rows))) == 1


def test_names_longer_than_their_row_is_high_lie_level():
    flat = example(name="nuclei_2d_test")
    strip = replace(flat, **{k: getattr(flat, k)[:8] for k in ("source", "network", "truth", "classical")})
    angles = [plots.examples([e]).axes[0].yaxis.label.get_rotation() for e in (example(), strip)]
    assert angles == [90, 0]


def test_an_interval_is_promised_only_where_one_is_drawn():
    few = {"iou": {"network": {"mean": 0.8, "ci95": None}, "classical": None}}
    title = " ".join(texts(plots.scores(METRICS, {"primary": "iou", "metrics": few})))
    assert "too few images for an interval" in title and "95 %" not in title
    many = {"iou": {"network": {"mean": 0.8, "ci95": [0.7, 0.9]}}}
    assert "95 % interval" in " ".join(texts(plots.scores(METRICS, {"primary": "iou", "metrics": many})))


def test_examples_name_the_classical_method_and_the_scores():
    shown = texts(plots.examples([example(0.8125)], classical="Otsu threshold"))
    assert {"input", "truth", "network", "Otsu threshold", "errors of the network", "IoU 0.812"} <= set(shown)


def test_examples_without_truth_or_classical_method_leave_their_columns_out():
    shown = texts(plots.examples([example(truth=None, classical=None, score=None)]))
    assert {"input", "network"} <= set(shown) and not {
        "truth",
        "classical method",
        "errors of the network",
    } & set(shown)


def test_a_volume_says_how_it_is_shown():
    shown = texts(plots.pairs([VOLUME], [VOLUME_MASK]))
    assert any("middle plane, side view (XZ) below" in text and "cyan" in text for text in shown)


def test_formulas_in_file_names_are_names():
    assert plots.png(plots.pairs([SOURCE], [MASK], [r"cost_$\frac{1$.tif"]))


def test_long_names_lose_their_middle():
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert shorten("abc", 5) == "abc"
    assert all(len(shorten("x" * 50, n)) == n for n in range(3, 12))


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("iou", "IoU"),
        ("iou_255", "IoU, class 255"),
        ("dice_0", "Dice, background"),
        ("my_own_score", "my own score"),
    ],
)
def test_scores_have_names(key, label):
    assert metric_label(key) == label


@pytest.mark.parametrize("image", [SOURCE, VOLUME])
def test_expected_errors_stand_beside_real_ones_on_one_scale(image):
    truth = image.astype(np.float32)
    low, high = np.percentile(truth, [0.1, 99.9], axis=tuple(range(truth.ndim - 1)))
    row = example(source=image, truth=truth, network=truth, classical=None)
    figure = plots.uncertainties([(row, np.full_like(truth, 0.1) * (high - low))], "error it expects", None)
    assert {"error it expects", "error it makes", "a"} <= set(texts(figure))
    expected, real = (axes.get_images()[0].get_array() for axes in figure.axes[2:4])
    assert np.ptp(expected[..., 0]) < 1e-3 and expected.mean() > real.mean() + 0.2, "half, and none"
