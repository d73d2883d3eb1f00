"""Tiled prediction equals prediction in one piece, and takes no more memory for larger images."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcdl_common.network import Geometry
from zcdl_common.tiles import default_tile, predict_tiled, predict_tiles, predict_whole, read, tiles


def small_unet(ndim, pool, upsample=1, channels=2):
    """Two levels with skip connection, pooling `pool` per axis; geometry from its arithmetic."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    conv = nn.Conv2d if ndim == 2 else nn.Conv3d
    up = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
    max_pool = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
    fine, coarse = conv(channels, 4, 3, padding=1), conv(4, 6, 3, padding=1)
    back, last = up(6, 4, pool, stride=pool), conv(8, 3, 3, padding=1)

    def forward(tiles):
        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(tiles, -1, 1)))
        with torch.no_grad():
            a = fine(x).relu()
            b = coarse(max_pool(pool)(a)).relu()
            y = last(torch.cat([a, back(b)], 1))
        y = np.moveaxis(y.numpy(), 1, -1)
        for axis in range(1, ndim + 1):
            y = np.repeat(y, upsample, axis)
        return y, np.moveaxis(b.numpy(), 1, -1)  # full size, and at the scale of the coarse level

    halo = tuple(2 + 2 * p for p in pool)
    return forward, Geometry(multiple=pool, halo=halo)


@pytest.fixture(scope="module")
def unets():
    return {2: small_unet(2, (4, 4)), 3: small_unet(3, (1, 2, 2))}


@settings(max_examples=25, deadline=None)
@given(data=st.data(), ndim=st.sampled_from([2, 3]), batch=st.integers(1, 4))
def test_tiled_equals_whole(unets, data, ndim, batch):
    forward, geometry = unets[ndim]
    most = 90 if ndim == 2 else 25
    shape = tuple(data.draw(st.tuples(*[st.integers(1, most)] * ndim)))
    tile = tuple(data.draw(st.tuples(*[st.integers(1, 24)] * ndim)))
    image = np.random.default_rng(0).normal(size=(*shape, 2)).astype(np.float32)
    whole = predict_whole(forward, image, geometry)
    assert whole[0].shape == (*shape, 3)
    for a, b in zip(whole, predict_tiled(forward, image, geometry, tile=tile, batch=batch), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_whole_image_is_mirrored_at_its_far_ends_up_to_the_multiple(unets):
    forward, geometry = unets[2]
    image = np.random.default_rng(1).normal(size=(13, 30, 2)).astype(np.float32)
    padded = np.pad(image, [(0, 3), (0, 2), (0, 0)], mode="reflect")
    expected = forward(padded[None])[0][0, :13, :30]
    np.testing.assert_allclose(predict_whole(forward, image, geometry)[0], expected, atol=1e-6)


def test_a_halo_below_the_receptive_field_is_seen_by_the_comparison(unets):
    forward, geometry = unets[2]
    image = np.random.default_rng(1).normal(size=(64, 64, 2)).astype(np.float32)
    cut = predict_tiled(forward, image, replace(geometry, halo=(0, 0)), tile=(16, 16))
    assert np.abs(cut[0] - predict_whole(forward, image, geometry)[0]).max() > 1e-2


def test_outputs_larger_than_the_input():
    forward, geometry = small_unet(2, (2, 2), upsample=3)
    image = np.random.default_rng(1).normal(size=(31, 50, 2)).astype(np.float32)
    whole = predict_whole(forward, image, geometry)
    tiled = predict_tiled(forward, image, geometry, tile=(8, 8))
    assert [m.shape for m in tiled] == [(93, 150, 3), (16, 25, 6)]
    for a, b in zip(whole, tiled, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_windows_share_one_shape_and_batches_are_full():
    seen = []

    def forward(block):
        seen.append(block.shape)
        return (block,)

    image = np.zeros((100, 70, 1), np.uint16)
    progress = []
    predict_tiled(
        forward,
        image,
        Geometry((4, 4), (8, 8)),
        tile=(20, 20),
        batch=6,
        progress=lambda *a: progress.append(a),
    )
    assert seen == [(6, 36, 36, 1)] * 3 + [(2, 36, 36, 1)]
    assert progress == [(6, 20), (12, 20), (18, 20), (20, 20)]


def test_scale_is_applied_to_what_is_read_and_zarr_serves_as_input_and_output(tmp_path):
    import zarr

    values = np.random.default_rng(0).integers(0, 4096, (75, 60, 1)).astype(np.uint16)
    source = zarr.create_array(tmp_path / "in.zarr", shape=values.shape, chunks=(32, 32, 1), dtype="u2")
    source[:] = values

    def make(shape, dtype):
        return zarr.create_array(tmp_path / "out.zarr", shape=shape, chunks=(32, 32, 1), dtype=dtype)

    geometry = Geometry((4, 4), (4, 4))
    (written,) = predict_tiled(
        lambda x: (x,), source, geometry, tile=(16, 16), scale=lambda b: b / np.float32(16), out=make
    )
    np.testing.assert_array_equal(written[:], values / np.float32(16))


def test_memory_maps_serve_as_input_and_output(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (5, 175, 260, 1)).astype(np.uint16)
    np.save(tmp_path / "in.npy", values)
    source = np.load(tmp_path / "in.npy", mmap_mode="r")
    out = [np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, values.shape)]
    geometry = Geometry((1, 4, 4), (1, 4, 4))
    predict_tiled(lambda x: (x + 1,), source, geometry, tile=(2, 150, 150), out=out)
    out[0].flush()
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), values + np.float32(1))


def test_changes_in_a_copy_on_write_map_are_never_released(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((64, 64, 1), np.float32))
    source = np.load(tmp_path / "in.npy", mmap_mode="c")
    source[:] = 7
    (copy,) = predict_tiled(lambda x: (x,), source, Geometry((1, 1), (0, 0)), tile=(32, 32))
    assert (copy == 7).all()
    assert (source == 7).all()


def test_an_output_of_the_wrong_shape_is_refused():
    image = np.zeros((8, 8, 1))
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*\(9, 8, 1\)"):
        predict_tiled(lambda x: (x,), image, Geometry((1, 1), (0, 0)), out=[np.zeros((9, 8, 1))])


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*[st.integers(1, 300)] * 2),
    st.tuples(*[st.integers(1, 64)] * 2),
    st.sampled_from([1, 2, 16]),
    st.integers(0, 30),
)
def test_cores_cover_once_and_windows_hold_the_halo(shape, core, multiple, halo):
    geometry = Geometry((multiple,) * 2, (halo,) * 2)
    covered = np.zeros(shape, int)
    for tile in tiles(shape, geometry, core):
        covered[tile.core] += 1
        for kept, read_, size in zip(tile.core, tile.window, shape, strict=True):
            end = -(-size // multiple) * multiple
            assert read_.start % multiple == read_.stop % multiple == 0
            assert 0 <= read_.start <= max(kept.start - halo, 0)
            assert min(kept.stop + halo, end) <= read_.stop <= end
    assert (covered == 1).all()


def test_every_point_belongs_to_one_tile_also_on_edges_and_outside():
    cut = tiles((50, 40), Geometry((4, 4), (4, 4)), (16, 16))
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-3, 55, (200, 2)), [[16, 16], [0, 0], [50, 40], [32, 31.999]]])
    owners = np.array([tile.owns(points) for tile in cut])
    assert (owners.sum(0) == 1).all()
    assert cut[int(owners[:, -1].argmax())].core == (slice(32, 48), slice(16, 32))


def test_objects_counted_tile_by_tile_equal_those_of_the_whole_image():
    from scipy import ndimage

    rng = np.random.default_rng(3)
    centres = rng.integers(4, 196, (60, 2))
    image = np.zeros((200, 200, 1), np.float32)
    for y, x in centres:
        image[y - 2 : y + 3, x - 2 : x + 3] = 1

    def found(binary):
        labels, n = ndimage.label(binary)
        return np.array(ndimage.center_of_mass(binary, labels, range(1, n + 1))).reshape(-1, 2) + 0.5

    whole = found(image[..., 0])
    pieces = []
    for tile, (maps,) in predict_tiles(lambda x: (x,), image, Geometry((1, 1), (30, 30)), tile=(32, 32)):
        points = found(maps[..., 0]) + [w.start for w in tile.window]
        pieces.append(points[tile.owns(points)])
    tiled = np.concatenate(pieces)
    np.testing.assert_allclose(tiled[np.lexsort(tiled.T)], whole[np.lexsort(whole.T)])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 40))
def test_reading_beyond_the_end_equals_numpy_reflection(size, start, length):
    image = np.arange(size)[:, None]
    stop = start + length + 1
    padded = np.pad(image[:, 0], (0, stop), mode="reflect")
    np.testing.assert_array_equal(read(image, (slice(start, stop),))[:, 0], padded[start:stop])


def test_default_tile_wastes_little_and_keeps_to_its_budget():
    plane = Geometry((16, 16), (92, 92))
    core = default_tile(plane)
    window = np.array(core) + 2 * 96
    assert np.prod(window) <= 2**22
    assert np.prod(window) / np.prod(core) < 1.3
    stack = Geometry((1, 4, 4), (20, 46, 46))
    z, y, x = default_tile(stack, (32, 2000, 3000))
    assert z == 32  # a thin stack needs no halo along Z
    assert z * (y + 96) * (x + 96) <= 2**22
    assert default_tile(plane, (100, 200)) == (112, 208)
    assert default_tile(plane, budget=1) == (16, 16)


MEMORY = """
import sys
import numpy as np, tifffile
from scipy import ndimage
from zcdl_common.network import Geometry
from zcdl_common.scales import Percentile
from zcdl_common.tiles import predict_tiled

folder, side = sys.argv[1], int(sys.argv[2])
source = tifffile.memmap(f"{folder}/{side}.tif", mode="r")[..., None]
limits = Percentile().limits(source)
make = lambda shape, dtype: np.lib.format.open_memmap(f"{folder}/{side}.npy", "w+", dtype, shape)
blur = lambda x: (ndimage.uniform_filter(x, (0, 3, 3, 0)),)
predict_tiled(
    blur, source, Geometry((16, 16), (16, 16)), tile=(512, 512), out=make,
    scale=lambda block: Percentile().apply(block, limits),
)
# ru_maxrss would also count the parent process, from before this program was started in its place
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is measured on Linux")
def test_peak_memory_is_flat_from_4_to_64_megapixels(tmp_path):
    import tifffile

    peaks = {}
    for side in (2048, 8192):
        image = tifffile.memmap(tmp_path / f"{side}.tif", shape=(side, side), dtype=np.uint16)
        image[:] = np.arange(side, dtype=np.uint16)
        image.flush()
        del image
        command = [sys.executable, "-c", MEMORY, str(tmp_path), str(side)]
        # a busy machine leaves mapped pages resident for longer: the lower of two runs is what is needed
        runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(2)]
        peaks[side] = min(int(done.stdout) for done in runs)
    assert peaks[8192] < 1.1 * peaks[2048], peaks
