"""Against the stardist package, which defines these numbers."""

import threading

import numpy as np
import pytest
from stardist import Rays_GoldenSpiral, star_dist, star_dist3D
from stardist.utils import edt_prob

from zcdl_common.stardistances import object_probability, rays_2d, rays_3d, star_distances


def discs(shape, seed=0, count=20, radius=(2, 9)):
    """Overlapping balls: touching objects, some cut by the border, some in pieces."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    axes = np.indices(shape)
    for number in range(1, count + 1):
        centre = rng.uniform(0, shape).reshape(-1, *(1,) * len(shape))
        labels[((axes - centre) ** 2).sum(0) < rng.uniform(*radius) ** 2] = number
    return labels


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (1, 4)])
@pytest.mark.parametrize("n", [8, 12, 32, 50])
def test_distances_in_2d_are_those_of_stardist(n, grid):
    labels = discs((93, 70), seed=n)
    found = star_distances(labels, rays_2d(n, (93, 70)), grid)
    expected = star_dist(labels, n, grid=grid)
    assert found.shape == expected.shape and found.max() > 5
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("grid", [(1, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("flatness", [(1, 1, 1), (3, 1, 1)])
def test_distances_in_3d_are_those_of_stardist(flatness, grid):
    labels = discs((12, 40, 37), count=15)
    rays = Rays_GoldenSpiral(24, anisotropy=flatness)
    found = star_distances(labels, rays_3d(rays.vertices, labels.shape), grid)
    np.testing.assert_allclose(found, star_dist3D(labels, rays, grid=grid), atol=1e-4)


def test_distances_in_one_large_object_end_at_the_border_of_the_image():
    labels = np.ones((64, 64), np.int32)
    np.testing.assert_allclose(
        star_distances(labels, rays_2d(32, (64, 64)), (2, 2)), star_dist(labels, 32, grid=(2, 2)), atol=1e-4
    )


@pytest.mark.parametrize("shape", [(93, 70), (12, 40, 37)])
@pytest.mark.parametrize("stretched", [False, True])
def test_probabilities_are_those_of_stardist(shape, stretched):
    labels = discs(shape, seed=3)
    spacing = (2.5, 1.0, 1.0)[-len(shape) :] if stretched else None
    spacing = (1.5, 1.0) if stretched and len(shape) == 2 else spacing
    found = object_probability(labels, spacing)
    np.testing.assert_allclose(found, edt_prob(labels, anisotropy=spacing), atol=1e-6)
    assert found.max() == pytest.approx(1)
    assert (found > 0).sum() == (labels > 0).sum()


@pytest.mark.filterwarnings("ignore:EDT of constant")
def test_a_patch_inside_one_object_has_a_middle():
    labels = np.full((20, 30), 7, np.int32)
    np.testing.assert_allclose(object_probability(labels), edt_prob(labels), atol=1e-6)


def test_a_patch_without_objects_is_zero_everywhere():
    labels = np.zeros((16, 24), np.int32)
    assert not object_probability(labels).any()
    distances = star_distances(labels, rays_2d(8, (16, 24)), (2, 2))
    assert distances.shape == (8, 12, 8) and not distances.any()


def test_rays_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="shape"):
        star_distances(np.zeros((16, 24), np.int32), rays_2d(8, (24, 16)), (2, 2))


def test_views_and_other_integers_are_taken():
    labels = discs((40, 40))
    turned = np.rot90(labels)[::2].astype(np.uint16)
    np.testing.assert_allclose(object_probability(turned), edt_prob(np.ascontiguousarray(turned)), atol=1e-6)


def test_other_threads_go_on_meanwhile():
    """While one thread computes, this one counts: a held lock would stop it until the other is done."""
    labels, rays = np.ones((700, 700), np.int32), rays_2d(32, (700, 700))
    star_distances(labels, rays, (64, 64))  # compiled now
    worker = threading.Thread(target=star_distances, args=(labels, rays, (1, 1)))
    count = 0
    worker.start()
    while worker.is_alive():
        worker.join(0.005)
        count += 1
    assert count > 10
