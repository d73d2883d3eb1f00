import numpy as np
import pytest

from zcdl_common.models._polygons import objects
from zcdl_common.network import Geometry
from zcdl_common.owned import budget, gather, with_objects
from zcdl_common.tiles import predict_tiles

SETTINGS = {"prob_thresh": 0.4, "nms_thresh": 0.3}
GRID = (2, 2)


def maps_as_image(shape, seed=0, rays=16):
    """Crowded, overlapping outlines, as an image whose channels are the maps of a network."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 0.5, (*shape, 1 + rays)).astype(np.float32)
    image[..., 1:] = rng.uniform(4, 7, (*shape, rays))
    for _ in range(shape[0] * shape[1] // 150):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        image[y - y % 2, x - x % 2, 0] = rng.uniform(0.5, 1)
    return image


def forward(tiles):
    points = tiles[:, :: GRID[0], :: GRID[1]]
    return points[..., :1], points[..., 1:]


def decode(maps, settings):
    return objects(
        maps[0][..., 0], maps[1], GRID, settings["shape"], settings["prob_thresh"], settings["nms_thresh"]
    )


def by_tiles(image, tile, labels):
    geometry = with_objects(Geometry((2, 2), (0, 0)), (14.0, 14.0))
    return gather(predict_tiles(forward, image, geometry, tile=tile), decode, SETTINGS, labels)


@pytest.mark.parametrize(("shape", "tile"), [((131, 157), (32, 48)), ((90, 301), (90, 24)), ((60, 64), None)])
def test_objects_by_tiles_are_those_of_the_whole_image(shape, tile):
    image = maps_as_image(shape)
    whole = decode(tuple(m[0] for m in forward(image[None])), {**SETTINGS, "shape": shape})
    labels = np.zeros(shape, np.int32)
    extra = by_tiles(image, tile, labels)
    assert whole.main.max() > 30
    assert len(extra["scores"]) == labels.max() == whole.main.max()
    order = np.lexsort(whole.extra["points"].T), np.lexsort(extra["points"].T)
    for key in extra:
        np.testing.assert_array_equal(extra[key][order[1]], whole.extra[key][order[0]])
    number = np.zeros(labels.max() + 1, int)
    number[1 + order[1]] = 1 + order[0]
    assert np.array_equal(number[labels], whole.main)


def test_numbers_are_those_of_the_rows():
    labels = np.zeros((96, 96), np.int32)
    extra = by_tiles(maps_as_image((96, 96)), (16, 16), labels)
    for row in np.argsort(-extra["scores"])[:10]:  # nothing covers the surest ones
        assert labels[tuple(np.floor(extra["points"][row]).astype(int))] == row + 1


def test_nothing_found_leaves_the_image_empty():
    labels = np.zeros((40, 40), np.int32)
    extra = by_tiles(np.zeros((40, 40, 9), np.float32), (16, 16), labels)
    assert not labels.any() and len(extra["scores"]) == 0


def test_the_halo_holds_large_objects_and_tiles_stay_small():
    assert with_objects(Geometry((8, 8), (51, 51)), (20.2, 31.0)).halo == (51 + 42, 51 + 62)
    assert budget(33) <= 2**22 and budget(97) < 2**21
    assert budget(10**6) == 2**18
