import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcdl_common.patches import Memory, centre, cut, prepare
from zcdl_common.task import Sample


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 32), st.integers(0, 99))
def test_source_and_target_come_from_the_same_place(height, width, side, seed):
    numbers = np.arange(height * width).reshape(height, width)
    source, target = cut(numbers[..., None], numbers, (side, side), np.random.default_rng(seed))
    assert source.shape == (side, side, 1) and np.array_equal(source[..., 0], target)


def test_places_cover_the_whole_image():
    seen = np.zeros((20, 24), int)
    image = np.arange(480).reshape(20, 24)
    for seed in range(300):
        source, _ = cut(image[..., None], None, (8, 8), np.random.default_rng(seed))
        seen.ravel()[source.ravel()] += 1
    assert seen.min() > 0


def test_patches_with_foreground_are_preferred_and_never_demanded():
    mask = np.zeros((64, 64), int)
    mask[:8, :8] = 1
    rng = np.random.default_rng(0)
    share = [
        np.mean([cut(mask[..., None], mask, (8, 8), rng, wanted)[1].any() for _ in range(100)])
        for wanted in (None, lambda m: m.any())
    ]
    assert share[1] > 3 * share[0]
    assert cut(mask[..., None], mask, (8, 8), rng, lambda m: False)[0].shape == (8, 8, 1)


def test_memory_is_bounded_and_gives_the_same_arrays():
    made = []

    class File:
        path = None

        def __init__(self, n):
            self.n = n

        def read(self):
            made.append(self.n)
            return np.full(100, self.n, np.uint8)

    memory = Memory(250)
    samples = [Sample(str(n), "", File(n), File(n)) for n in range(3)]
    ready = prepare(samples, lambda s: s.source.read(), None, memory)
    for _ in range(3):
        assert [int(s.source.read()[0]) for s in ready] == [0, 1, 2]
    assert made == [0, 1, 2, 2, 2] and memory.free == 50
    assert all(s.target is None for s in ready)


@pytest.mark.parametrize(("size", "expected"), [((4,), [3, 4, 5, 6]), ((20,), list(range(10)))])
def test_the_middle_of_an_image(size, expected):
    assert centre(np.arange(10), size).tolist() == expected


def test_images_that_memory_does_not_hold_are_told_of_once(capsys):
    memory = Memory(10)
    for key in range(3):
        memory.get(key, lambda: np.zeros(8, np.uint8))
    assert capsys.readouterr().out.count("slow") == 1 and list(memory.kept) == [0]
