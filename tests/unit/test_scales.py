"""Scaling: equal to NumPy and to the zoo's own steps, for images of any type and size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcdl_common.blocks import blocks
from zcdl_common.errors import DataError
from zcdl_common.scales import Fixed, MeanStd, Percentile
from zcdl_common.statistics import mean_std, percentiles

DTYPES = ["u1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">f4", "?"]
Q = (0.0, 1.0, 37.3, 50.0, 99.8, 100.0)


def wild(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 10.0 ** rng.integers(-2, 4), shape)
    if np.dtype(dtype).kind in "ub":
        values = np.abs(values) % 200
    return values.astype(dtype)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DTYPES), st.tuples(*[st.integers(1, 20)] * 3), st.integers(0, 999))
def test_percentiles_equal_numpy_for_every_dtype(dtype, shape, seed):
    image = wild(dtype, shape, seed)
    expected = np.percentile(image.astype(np.float64), Q, axis=(0, 1))
    np.testing.assert_allclose(percentiles([image], Q), expected, rtol=1e-12, atol=1e-9)


def test_percentiles_pool_images_of_different_shape_and_dtype():
    a, b = wild("u2", (30, 20, 2), 1), wild("f4", (7, 9, 2), 2)
    pooled = np.concatenate([a.reshape(-1, 2), b.reshape(-1, 2)]).astype(float)
    np.testing.assert_allclose(percentiles([a, b], Q), np.percentile(pooled, Q, axis=0), rtol=1e-6)


def test_mean_and_std_survive_a_large_offset_and_many_blocks(monkeypatch):
    monkeypatch.setattr("zcdl_common.blocks.blocks.__defaults__", (100,))
    image = np.random.default_rng(0).normal(1e6, 1e-2, (40, 50, 2))
    mean, std = mean_std([image])
    np.testing.assert_allclose(mean, image.mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(std, image.std((0, 1)), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=3, max_size=4), st.integers(1, 500))
def test_blocks_cover_an_image_once(shape, budget):
    image = np.zeros(shape, int)
    for where in blocks(image, budget):
        assert image[where].size // shape[-1] <= max(budget, 1)
        image[where] += 1
    assert (image == 1).all()


class Chunked:
    """An array in chunks that counts how often each is decoded."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.shape, self.dtype = array, chunks, array.shape, array.dtype
        self.reads = np.zeros([-(-n // c) for n, c in zip(array.shape, chunks, strict=True)], int)

    def __getitem__(self, where):
        spans = zip(where, self.chunks, strict=False)
        touched = tuple(slice(s.start // c, -(-s.stop // c)) for s, c in spans if isinstance(s, slice))
        self.reads[touched] += 1
        return self.array[where]


def test_no_chunk_is_decoded_twice_in_a_pass():
    image = Chunked(wild("u2", (100, 130, 1), 0), (32, 64, 1))
    Percentile().limits(image)
    assert (image.reads == 1).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("scaling", [Percentile(), Percentile(5, 95), MeanStd()])
@pytest.mark.parametrize("shape", [(41, 33, 2), (5, 20, 17, 1)])
def test_scaling_equals_the_step_written_into_the_package(scaling, shape, dtype):
    image = wild(dtype, shape, 3)
    np.testing.assert_allclose(scaling(image), by_bioimageio(image, scaling), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_fixed_scaling_equals_the_step_written_into_the_package(channels):
    image = wild("u2", (20, 30, channels), 3)
    scaling = Fixed.mean_std([image])
    np.testing.assert_allclose(scaling(image), by_bioimageio(image, scaling), rtol=1e-5, atol=1e-6)


def by_bioimageio(image, scaling):
    from bioimageio.core import Tensor
    from bioimageio.core.proc_ops import FixedZeroMeanUnitVariance, ScaleRange, ZeroMeanUnitVariance
    from bioimageio.core.sample import Sample
    from bioimageio.core.stat_calculators import compute_measures
    from bioimageio.spec.model import v0_5

    (step,) = scaling.zoo(image.ndim - 1)
    operator, described, kwargs = {
        "scale_range": (ScaleRange, v0_5.ScaleRangeDescr, v0_5.ScaleRangeKwargs),
        "zero_mean_unit_variance": (
            ZeroMeanUnitVariance,
            v0_5.ZeroMeanUnitVarianceDescr,
            v0_5.ZeroMeanUnitVarianceKwargs,
        ),
        "fixed_zero_mean_unit_variance": (
            FixedZeroMeanUnitVariance,
            v0_5.FixedZeroMeanUnitVarianceDescr,
            v0_5.FixedZeroMeanUnitVarianceAlongAxisKwargs
            if "axis" in step["kwargs"]
            else v0_5.FixedZeroMeanUnitVarianceKwargs,
        ),
    }[step["id"]]
    axes = ["batch", *"zyx"[4 - image.ndim :], "channel"]
    tensor = Tensor(image[None].astype(np.float32), dims=axes)
    sample = Sample(members={"input": tensor}, stat={}, id="one")
    op = operator.from_proc_descr(described(kwargs=kwargs(**step["kwargs"])), "input")
    sample.stat = compute_measures(op.required_measures, [sample])
    op(sample)
    return sample.members["input"].data.to_numpy()[0]


def test_blocks_scaled_by_the_limits_of_the_whole_equal_the_whole():
    image = wild("u2", (50, 40, 2), 5)
    scaling = Percentile()
    limits = scaling.limits(image)
    np.testing.assert_array_equal(scaling.apply(image[10:20, 5:], limits), scaling(image)[10:20, 5:])


def test_a_weak_signal_on_a_large_offset_keeps_its_digits():
    image = (2**31 + np.arange(400).reshape(20, 20, 1)).astype(np.uint32)
    expected = (image - image.mean()) / image.std()
    np.testing.assert_allclose(MeanStd()(image), expected, atol=1e-5)


@pytest.mark.parametrize("scaling", [Percentile(), MeanStd()])
@pytest.mark.parametrize("value", [0, 7.5, np.nan, np.inf])
def test_constant_and_empty_images_become_zero(scaling, value):
    scaled = scaling(np.full((9, 8, 1), value, np.float32))
    assert scaled.dtype == np.float32
    assert (scaled == 0).all()


@pytest.mark.parametrize("scaling", [Percentile(), MeanStd()])
def test_nan_pixels_change_no_other_pixel(scaling):
    clean = wild("f4", (30, 30, 1), 1)
    dirty = np.concatenate([clean, np.full((2, 30, 1), np.nan, np.float32)])
    dirty[30, 0] = np.inf
    scaled = scaling(dirty)
    np.testing.assert_allclose(scaled[:30], scaling(clean), rtol=1e-6, atol=1e-6)
    assert (scaled[30:] == 0).all()


@pytest.mark.parametrize("scaling", [Percentile(2, 98), MeanStd(), Fixed((3.0, 5.0), (2.0, 0.1))])
def test_undo_restores_the_image(scaling):
    image = wild("f4", (30, 30, 2), 2)
    limits = scaling.limits(image)
    np.testing.assert_allclose(
        scaling.undo(scaling.apply(image, limits), limits), image, rtol=1e-4, atol=1e-4
    )


def test_output_scale_is_one_gain_and_offset_that_equal_undo():
    scaling = Fixed.percentiles([wild("u2", (30, 30, 1), 2)], 1, 99)
    (step,) = scaling.zoo_undo()
    output = wild("f4", (5, 5, 1), 1)
    gain, offset = step["kwargs"]["gain"], step["kwargs"]["offset"]
    np.testing.assert_allclose(scaling.undo(output, scaling.limits()), output * gain + offset, rtol=1e-6)
    with pytest.raises(ValueError, match="differ"):
        Fixed((1.0, 2.0), (1.0, 1.0)).zoo_undo()


def test_a_constant_training_set_keeps_the_unit():
    assert Fixed.mean_std([np.full((4, 4, 1), 9)]) == Fixed((9.0,), (1.0,))


def test_an_image_with_other_channels_than_the_training_set_is_refused():
    with pytest.raises(DataError, match=r"2 channels.*trained on 1"):
        Fixed((0.0,), (1.0,))(np.zeros((4, 4, 2)))
