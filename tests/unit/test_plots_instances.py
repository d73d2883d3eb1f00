"""Pictures of objects: outlines keep neighbours apart, errors have the colours that the caption names."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from zcdl_common import plots
from zcdl_common.plots.instances import KIND_COLOURS, between, outlined
from zcdl_common.plots.style import CLASS_COLOURS
from zcdl_common.samples.instances import nuclei


def drawn(draw, *arrays, **options):
    """The pixels that a drawing shows, and what it says."""
    axes = Figure().subplots()
    said = draw(axes, *arrays, **options)
    return np.asarray(axes.images[0].get_array()), said


def test_touching_objects_have_outlines_of_their_own_colours():
    labels = np.zeros((20, 40), int)
    labels[4:16, 4:20], labels[4:16, 20:36] = 1, 2
    painted = outlined(np.zeros((20, 40, 3), np.float32), labels, fill=0.0)
    assert painted[10, 19] == pytest.approx(to_rgb(CLASS_COLOURS[0]), abs=1e-6)
    assert painted[10, 20] == pytest.approx(to_rgb(CLASS_COLOURS[1]), abs=1e-6)
    assert not painted[10, 10].any() and not painted[0].any()
    assert outlined(np.zeros((20, 40, 3), np.float32), labels, fill=0.5)[10, 10].any()
    colours = outlined(np.zeros((20, 40, 3), np.float32), labels * len(CLASS_COLOURS), fill=1.0)
    assert colours[10, 10].any()


@pytest.mark.parametrize("shape", [(60, 50), (8, 60, 50)])
def test_objects_are_drawn_on_images_and_volumes(shape):
    source, labels = nuclei(np.random.default_rng(0), shape, (1.0, 0.5, 0.5)[-len(shape) :])
    bare, _ = drawn(plots.draw_instances, source[..., None], None)
    with_objects, _ = drawn(plots.draw_instances, source[..., None], labels)
    channel_last, _ = drawn(plots.draw_instances, source[..., None], labels[..., None].astype(np.float32))
    assert bare.shape == with_objects.shape and np.array_equal(with_objects, channel_last)
    assert 0.02 < np.any(bare != with_objects, axis=-1).mean() < 1


def test_matched_missed_and_invented_objects_have_the_colours_of_the_caption():
    truth, found = np.zeros((2, 40, 60), int)
    truth[5:15, 5:15] = found[5:15, 5:15] = 1
    truth[5:15, 30:40] = 2
    found[25:35, 5:15] = 3
    truth[25:35, 30:40], found[25:35, 36:52] = 4, 5
    picture, said = drawn(plots.draw_instance_errors, truth, found)
    k = picture.shape[0] // 40
    places = {
        "nothing": (20, 20),
        "right": (10, 10),
        "invented": (30, 10),
        "missed": (10, 35),
        "both": (30, 38),
    }
    for (name, (y, x)), wanted in zip(places.items(), KIND_COLOURS, strict=True):
        assert picture[y * k, x * k] == pytest.approx(to_rgb(wanted), abs=1e-6), name
    assert "orange" in said and "blue" in said and "0.5" in said


def test_neighbours_of_one_colour_are_kept_apart_by_a_line():
    labels = np.zeros((4, 6), int)
    labels[:, :3], labels[:, 3:] = 1, 2
    assert between(labels)[:, 2].all() and between(labels).sum() == 4
    picture, _ = drawn(plots.draw_instance_errors, labels, labels)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 2


def test_an_object_of_a_volume_is_matched_as_a_whole():
    truth, found = np.zeros((2, 9, 30, 30), int)
    truth[:, 10:20, 10:20] = found[:, 10:20, 10:20] = 1
    found[4, 10:20, 10:13] = 0  # poor in the plane that is shown
    picture, _ = drawn(plots.draw_instance_errors, truth, found)
    colours = {tuple(c) for c in np.unique(picture.reshape(-1, 3).round(5), axis=0)}
    assert colours == {tuple(np.float32(to_rgb(KIND_COLOURS[i])).round(5)) for i in (0, 1)}


def test_galleries_name_the_colours_of_the_errors():
    source, labels = nuclei(np.random.default_rng(0), (60, 60), (0.5, 0.5))
    row = plots.Example("a", source[..., None], labels, labels, labels, 0.5, 0.4)
    style = {"metric": "ap50", "draw": plots.draw_instances, "draw_error": plots.draw_instance_errors}
    for figure in (plots.examples([row], **style), plots.worst([row], **style)):
        assert "invented" in figure.get_suptitle()
        assert not figure.legends
