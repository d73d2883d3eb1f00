"""Pictures of boxes: colours tell what became of each, and figures hold the numbers they are given."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from zcdl_common import plots
from zcdl_common.metrics.detection_confidence import count_errors, precision_recall
from zcdl_common.metrics.detection_matching import match
from zcdl_common.metrics.statistics import Interval
from zcdl_common.plots.detections import KINDS, line_width
from zcdl_common.plots.style import CLASS_COLOURS

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
TRUTH = np.array([[0, 0, 20, 20, 0], [30, 0, 50, 20, 1], [0, 40, 20, 60, 2.0]])
FOUND = np.array([[1, 1, 20, 20, 0], [30, 0, 50, 20, 0], [30, 60, 50, 80, 1.0]])
NONE = np.zeros((0, 5))


def drawn(draw, *arrays, **options):
    """Axes, boxes by colour as x0 y0 x1 y1, and what the drawing says."""
    axes = Figure().subplots()
    said = draw(axes, *arrays, **options)
    boxes = {
        tuple(c.get_edgecolor()[0, :3].round(3)): [tuple(p.get_extents().extents) for p in c.get_paths()]
        for c in axes.collections
    }
    return axes, boxes, said


def colour(name):
    return tuple(np.round(to_rgb(name), 3))


def texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_boxes_have_the_colours_of_their_classes_and_names_in_a_legend():
    axes, boxes, _ = drawn(plots.draw_boxes, IMAGE, TRUTH, names=("red", "white", "platelet"))
    assert boxes[colour(CLASS_COLOURS[0])] == [(0, 0, 20, 20)]
    assert boxes[colour(CLASS_COLOURS[2])] == [(40, 0, 60, 20)]
    assert texts(axes) == ["red", "white", "platelet"]
    assert axes.get_xlim() == (0, 80) and axes.get_ylim() == (60, 0)
    assert texts(drawn(plots.draw_boxes, IMAGE, TRUTH[1:2], names=("red", "white"))[0]) == ["white"]
    assert drawn(plots.draw_boxes, IMAGE, TRUTH)[0].get_legend() is None
    for nothing in (None, NONE, []):
        assert not drawn(plots.draw_boxes, IMAGE, nothing)[1]


def test_the_legend_lies_where_it_covers_no_box():
    boxes = np.array([[50, 2, 58, 10, 0], [2, 2, 10, 10, 0]])
    legend = drawn(plots.draw_boxes, IMAGE, boxes, names=("red",))[0].get_legend()
    assert legend._loc == legend.codes["upper right"]


@pytest.mark.parametrize("source", [None, IMAGE, np.zeros((60, 80, 1), np.uint16)])
def test_right_confused_invented_and_missed_boxes_have_the_colours_of_the_caption(source):
    axes, boxes, said = drawn(plots.draw_box_errors, TRUTH, FOUND, source=source)
    wanted = {
        "right": (1, 1, 20, 20),
        "wrong class": (0, 30, 20, 50),
        "invented": (60, 30, 80, 50),
        "missed": (40, 0, 60, 20),
    }
    assert boxes == {colour(KINDS[kind][0]): [box] for kind, box in wanted.items()}
    assert all(word in said for word in ("green", "pink", "orange", "dashed blue", "0.5"))
    ground = np.asarray(axes.images[0].get_array())
    assert np.median(ground) > 0.5  # dark images are inverted: all four colours are dark


def test_errors_are_drawn_where_one_side_or_both_are_empty():
    missed, invented = colour(KINDS["missed"][0]), colour(KINDS["invented"][0])
    assert set(drawn(plots.draw_box_errors, TRUTH, NONE)[1]) == {missed}
    assert set(drawn(plots.draw_box_errors, [], FOUND)[1]) == {invented}
    assert not drawn(plots.draw_box_errors, NONE, NONE, source=IMAGE)[1]
    drawn(plots.draw_box_errors, NONE, NONE)


def test_lines_are_thinner_where_boxes_are_small():
    small, large = (np.array([[0, 0, side, side, 0]]) for side in (10, 300))
    assert line_width(small, (1000, 1000)) < line_width(large, (1000, 1000))
    assert line_width(small, (1000, 1000)) == line_width(small * 2, (2000, 2000))


def test_galleries_take_boxes():
    row = plots.Example("a", IMAGE, FOUND, TRUTH, FOUND, 0.5, 0.4)
    how = {"metric": "map50", "draw": plots.draw_boxes, "draw_error": plots.draw_box_errors}
    for figure in (plots.examples([row], **how), plots.worst([row], **how)):
        assert "invented" in figure.get_suptitle()
        assert len(plots.png(figure)) > 5000


def test_precision_and_recall_have_a_line_a_class_and_the_threshold_in_use():
    image = match(TRUTH, FOUND, np.array([0.9, 0.8, 0.3]), 3)
    curves = {name: precision_recall([image], c) for c, name in enumerate(("red", "white", "none"))}
    figure = plots.precision_recall_curves(curves, 0.85, {"red": Interval(0.9, 0.8, 1.0)})
    (axes,) = figure.axes
    assert texts(axes) == [
        "red: AP 0.90 (0.80 to 1.00)",
        "white",
        "none: nothing found",
        "confidence 0.85, in use",
    ]
    line, mark = axes.lines[:2]
    assert line.get_xydata().tolist() == [[1, 1], [1, 0.5]] and mark.get_xydata().tolist() == [[1, 1]]
    unknown = match(NONE, FOUND[:1], np.array([0.9]), 3)
    assert np.isnan(precision_recall([unknown], 0).recall).all()
    empty = plots.precision_recall_curves({"red": precision_recall([unknown], 0)})
    assert "no box" in empty.texts[0].get_text()


def test_the_confusion_matrix_holds_its_numbers():
    table = np.array([[12, 3, 5], [0, 0, 0], [4, 0, 0]])
    (axes,) = plots.confusion_matrix(table, ["red", "white"]).axes
    assert [t.get_text() for t in axes.texts] == ["12", "3", "5", "0", "0", "0", "4", "0", ""]
    assert np.asarray(axes.images[0].get_array())[0].tolist() == pytest.approx([0.6, 0.15, 0.25])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["red", "white", "nothing there"]


def test_scores_of_classes_have_names():
    assert plots.metric_label("ap50_red") == "AP at IoU 0.5, red"
    assert plots.metric_label("ap_red") == "AP at IoU 0.5–0.95, red"


def test_counts_are_shown_class_by_class_with_their_bias():
    true = np.array([[3, 0, 0], [5, 1, 0]] * 4)
    found = np.array([[2, 0, 0], [4, 1, 0]] * 4)
    figure = plots.counts(true, found, ["red", "white", "never"], count_errors(true, found))
    first, second = (axes for axes in figure.axes if axes.axison)
    assert first.get_title(loc="left") == "red\nbias −1.0 (−1.0 to −1.0), off by 1.0"
    assert first.collections[0].get_offsets().tolist() == [[3, 2], [5, 4]]
    assert second.get_title(loc="left").startswith("white\nbias +0.0")
    assert "no test image" in plots.counts(true[:0], found[:0], ["a", "b", "c"]).texts[0].get_text()
