import hashlib

import numpy as np
import pytest
import torch
from held import Held
from scipy import ndimage
from tifffile import TiffFile, imread

from zcdl_common import networks, restoring, session, tiles
from zcdl_common.config import Config
from zcdl_common.data import open_data
from zcdl_common.errors import ConfigError
from zcdl_common.images import ImageRef
from zcdl_common.models.fnet import FnetModel
from zcdl_common.models.nets.fnet import FNet, field_of_view
from zcdl_common.networks.fnet import FnetConfig, plan
from zcdl_common.patches import busy
from zcdl_common.predict import predict, predict_folder
from zcdl_common.run import Run, changed_files, open_run
from zcdl_common.task import Facts, Sample, resolve
from zcdl_common.tiles import predict_tiled, predict_whole

TINY = {"depth": 1, "filters": 4, "batch_size": 2, "learning_rate": 1e-3, "patches_per_image": 2}
TRAINED = {**TINY, "epochs": 2, "patch_size": (16, 16)}


def facts_for(ndim=2, channels=1, stains=1, size=64, pixel_size=None, device="cpu", count=4, dtype="uint16"):
    names, targets = (tuple(f"{kind}{i}" for i in range(n)) for kind, n in (("c", channels), ("t", stains)))
    units = {"target_offset": (100.0, 9.0)[:stains], "target_span": (50.0, 2.0)[:stains]}
    shapes = ((size,) * ndim if isinstance(size, int) else size,)
    extra = {"target_channels": targets, **units}
    return Facts(ndim, names, shapes, dtype, pixel_size, device=device, counts={"train": count}, extra=extra)


def build(ndim=2, channels=1, stains=1, pixel_size=None, **params):
    """A model that is not trained, on facts made by hand."""
    config = FnetConfig.parse({**TINY, "patch_size": (16,) * ndim, **params})
    return FnetModel(config, facts_for(ndim, channels, stains, pixel_size=pixel_size))


def scramble(net):
    """Weights and batch statistics under which no path through the network is silent."""
    torch.manual_seed(1)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if "running_var" in key:
                value.uniform_(0.5, 2)
            elif value.ndim == 1 and key.endswith("bias"):
                value.uniform_(1, 2)  # keeps the rectifiers open
            elif value.dtype.is_floating_point:
                value.normal_(0, 0.3)
    return net.eval()


# -- the network --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ndim", "millions"), [(3, 23.3), (2, 8.1)])
def test_as_published_the_network_has_as_many_weights_as_in_the_publication(ndim, millions):
    with torch.device("meta"):
        net = FNet(1, 1, 32, ((2,) * ndim,) * 4)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


POOLS = {
    "2D, one level": ((2, 2),),
    "2D, three levels": ((2, 2),) * 3,
    "3D": ((2, 2, 2),),
    "3D, flat first": ((1, 2, 2), (2, 2, 2)),
    "3D, flat twice": ((1, 2, 2), (1, 2, 2)),
    "3D, coarse planes": ((2, 1, 1), (2, 2, 2)),
}


@pytest.mark.parametrize("pools", POOLS.values(), ids=POOLS)
def test_no_pixel_beyond_the_halo_changes_an_output_pixel(pools):
    ndim, halo = len(pools[0]), field_of_view(pools)
    net = scramble(FNet(1, 1, 2, pools)).double()
    strides = [int(np.prod([p[a] for p in pools])) for a in range(ndim)]
    size = [2 * (h + 2 * s) // s * s for h, s in zip(halo, strides, strict=True)]
    reach = np.zeros(ndim, int)
    rng = np.random.default_rng(0)
    for offset in [(0,) * ndim, tuple(s - 1 for s in strides), tuple(rng.integers(0, strides))]:
        x = torch.randn(1, 1, *size, dtype=torch.float64, requires_grad=True)
        centre = [n // 2 // s * s + o for n, s, o in zip(size, strides, offset, strict=True)]
        net(x)[(0, 0, *centre)].backward()
        where = np.argwhere(x.grad[0, 0].numpy() != 0)
        assert len(where)
        reach = np.maximum(reach, np.abs(where - centre).max(0))
    assert (reach <= halo).all(), f"reaches {reach}, halo is {halo}"
    assert (np.asarray(halo) <= 1.5 * reach + strides).all(), "a halo far beyond the reach wastes time"


@pytest.mark.parametrize(
    ("ndim", "pixel_size", "shape", "tile", "depth"),
    [(2, None, (93, 131), (16, 16), 2), (3, (1.0, 0.25, 0.25), (11, 50, 61), (4, 16, 16), 2),
     (3, None, (21, 26, 30), (8,) * 3, 1)],
)  # fmt: skip
def test_tiles_give_what_the_whole_image_gives(ndim, pixel_size, shape, tile, depth):
    model = build(ndim, channels=2, stains=2, pixel_size=pixel_size, depth=depth)
    scramble(model.net)
    image = np.random.default_rng(0).normal(size=(*shape, 2)).astype(np.float32)
    (whole,) = predict_whole(model.forward, image, model.geometry)
    (tiled,) = predict_tiled(model.forward, image, model.geometry, tile=tile)
    assert whole.shape == (*shape, 2) and whole.std() > 1e-3
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * whole.std())


def test_pooling_respects_anisotropy():
    model = build(3, pixel_size=(1.0, 0.25, 0.25), depth=3, patch_size=(8, 32, 32))
    assert model.kwargs["pools"] == [[1, 2, 2], [1, 2, 2], [2, 2, 2]]
    assert model.geometry.multiple == (2, 8, 8)
    flat = model.net.encoder[0][0][0].weight.shape[2:], model.net.encoder[2][1][0][0].weight.shape[2:]
    assert flat == ((1, 3, 3), (3, 3, 3)), "planes far apart are no neighbours"


@pytest.mark.parametrize(("ndim", "stains"), [(2, 2), (3, 1)])
def test_the_exported_network_answers_in_the_units_of_the_targets(tmp_path, ndim, stains):
    model = build(ndim, channels=2, stains=stains)
    scramble(model.net)
    tiles = np.random.default_rng(0).normal(size=(1, *(16,) * ndim, 2)).astype(np.float32)
    files = model.weights(tmp_path, tiles)
    expected = model.decode((model.forward(tiles)[0][0],), {}).main
    span, offset = np.array([50.0, 2.0])[:stains], np.array([100.0, 9.0])[:stains]
    np.testing.assert_allclose(expected, model.forward(tiles)[0][0] * span + offset, rtol=1e-4)
    again = FNet(**files.kwargs).eval()
    again.load_state_dict(torch.load(files.files["pytorch_state_dict"], weights_only=True))
    traced = torch.jit.load(str(files.files["torchscript"]))
    x = torch.from_numpy(np.moveaxis(tiles, -1, 1).copy())
    with torch.no_grad():
        for net in (again, traced):
            found = np.moveaxis(net(x)[0].numpy(), 0, -1)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


# -- parameters ---------------------------------------------------------------------------------------


def scene(seed=0, shape=(96, 96), covered=(40, 60)):
    """A smooth image with one bright square in its target, as a sample that is ready to learn from."""
    rng = np.random.default_rng(seed)
    source = ndimage.gaussian_filter(rng.normal(size=shape), 2)[..., None].astype(np.float32)
    target = np.zeros_like(source)
    target[covered[0] : covered[1], covered[0] : covered[1]] = 1
    target += 0.01 * ndimage.gaussian_filter(rng.normal(size=shape), 2)[..., None]
    return Sample("s", "s", Held(source), Held(target.astype(np.float32)))


def batch_of(seed=7, **params):
    return build(**{"batch_size": 4, **params}).batch([scene()], np.random.default_rng(seed))


def weights_after(steps=2, **params):
    model = build(**params)
    for seed in range(steps):
        model.step(model.batch([scene()], np.random.default_rng(seed)), model.config.learning_rate)
    return {k: v for k, v in model.state().items() if k.startswith("module/")}


def equal(one, other):
    return one.keys() == other.keys() and all(
        np.shape(one[k]) == np.shape(other[k]) and np.array_equal(one[k], other[k]) for k in one
    )


GEOMETRY = {"flips": False, "rotations": "any angle", "scale": 0.4, "shear": 10.0, "elastic": 5.0}
LIGHT = {"intensity": 0.5, "noise": 0.3, "blur": 3.0}
AUGMENTED = {**GEOMETRY, **LIGHT}
OFF = {"flips": False, "rotations": "none", "scale": 0.0, "shear": 0.0, "elastic": 0.0, "intensity": 0.0}
CUT = {"busy_patches": 1.0, "batch_size": 3, "patch_size": (24, 16)}
LEARNED = {"depth": 2, "filters": 8, "learning_rate": 0.05, "freeze": "encoder", "seed": 4}
ELSEWHERE = {"disagreement", "precision", "compile"}


def test_every_own_parameter_is_shown_to_do_something():
    own = set(FnetConfig.model_fields) - set(Config.model_fields)
    assert own <= {*AUGMENTED, *CUT, *LEARNED, *ELSEWHERE}
    assert FnetConfig().scale == 0.0, "interpolation smooths the texture that is to be learned"


@pytest.mark.parametrize(("name", "value"), [*AUGMENTED.items(), *CUT.items(), ("augment", False)])
def test_what_shapes_the_patches_changes_a_batch(name, value):
    assert not equal(batch_of(), batch_of(**{name: value}))


@pytest.mark.parametrize(("name", "value"), [*{**GEOMETRY, "flips": True}.items()])
def test_each_change_moves_image_and_target_alike(name, value):
    plain, changed = batch_of(**OFF), batch_of(**{**OFF, name: value})
    assert equal(plain, batch_of(augment=False)), "nothing chosen, nothing changed"
    assert not np.array_equal(plain["source"], changed["source"])
    sample = scene()
    pair = Sample("s", "s", sample.source, Held(3 * sample.source.read()))
    moved = build(batch_size=4, **{**OFF, name: value}).batch([pair], np.random.default_rng(0))
    np.testing.assert_allclose(moved["target"], 3 * moved["source"], atol=1e-5)


@pytest.mark.parametrize(("name", "value"), LIGHT.items())
def test_light_noise_and_blur_leave_the_target_alone(name, value):
    plain, changed = batch_of(**OFF), batch_of(**{**OFF, name: value})
    assert not np.array_equal(plain["source"], changed["source"])
    sample = scene()
    pair = Sample("s", "s", sample.source, Held(sample.source.read()))
    moved = build(batch_size=1, patch_size=(96, 96), **{**OFF, name: 1.0}).batch(
        [pair], np.random.default_rng(0)
    )
    np.testing.assert_array_equal(moved["target"][0], sample.source.read())


@pytest.mark.parametrize(("name", "value"), LEARNED.items())
def test_what_shapes_learning_changes_the_weights(name, value):
    assert not equal(weights_after(), weights_after(**{name: value}))


@pytest.mark.parametrize("freeze", ["encoder", "all but the last layer"])
def test_frozen_layers_stay_as_they_are(freeze):
    untouched, trained = (weights_after(steps, freeze=freeze) for steps in (0, 2))
    changed = {k for k in trained if not np.array_equal(trained[k], untouched[k])}
    kept = [k for k in trained if ("encoder" in k if freeze == "encoder" else "head" not in k)]
    assert kept and not changed & set(kept) and any("head" in k for k in changed)
    assert freeze != "encoder" or any("decoder" in k for k in changed)


def test_so_many_of_the_patches_are_busy():
    found = {}
    for share in (0.0, 0.5, 1.0):
        model, rng, pair = build(busy_patches=share, augment=False), np.random.default_rng(0), scene()
        usual = pair.target.read().mean()
        found[share] = np.mean([model.patch(pair, rng)[1].mean() > usual for _ in range(150)])
    assert found[0.0] < 0.35 < found[0.5] < 0.8 < found[1.0]
    assert busy(np.ones((8, 8, 1)), 0.0, np.random.default_rng(0)) is None


def test_busy_patches_of_a_target_without_contrast_lie_anywhere():
    flat = Sample("s", "s", scene().source, Held(np.full((96, 96, 1), 0.1, np.float32)))
    source, target = build(busy_patches=1.0).patch(flat, np.random.default_rng(0))
    assert source.shape == (16, 16, 1) and (target == np.float32(0.1)).all()


def test_image_and_target_of_a_patch_show_one_place():
    sample = scene()
    pair = Sample("s", "s", sample.source, Held(np.concatenate([sample.source.read()] * 2, -1)))
    source, target = build(elastic=2.0, rotations="any angle", intensity=0.0).patch(
        pair, np.random.default_rng(1)
    )
    # OpenCV interpolates one and two channels by tables of different fineness
    np.testing.assert_allclose(target, np.concatenate([source] * 2, -1), atol=0.01)


def test_one_batch_in_parts_gives_nearly_the_gradient_of_the_whole():
    states = []
    one = scene().source.read()[:16, :16]
    batch = {"source": np.stack([one] * 4), "target": np.stack([2 * one] * 4), "seed": 1}
    for part in (4, 2, 1):
        model = build(batch_size=4)
        model.part = part
        loss = float(model.step(batch, 1e-3)["loss"])
        states.append((loss, dict(model.net.named_parameters())))
    for loss, state in states[1:]:
        assert loss == pytest.approx(states[0][0], rel=1e-5)
        for key, value in state.items():  # Adam: no step is larger than the rate
            assert (value - states[0][1][key]).abs().mean() < 1e-3, key


# -- the plan -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ndim", "device", "expected"),
    [
        (2, "gpu", {"depth": 4, "filters": 32, "patch_size": (256, 256), "batch_size": 16}),
        (2, "cpu", {"depth": 3, "filters": 16, "patch_size": (128, 128), "batch_size": 8}),
        (3, "gpu", {"depth": 4, "filters": 32, "patch_size": (32, 64, 64), "batch_size": 8}),
        (3, "cpu", {"depth": 3, "filters": 16, "patch_size": (16, 64, 64), "batch_size": 2}),
    ],
)
def test_the_plan_follows_device_and_dimension(ndim, device, expected):
    size = (1024, 1024) if ndim == 2 else (40, 512, 512)
    made = plan(FnetConfig(), facts_for(ndim, size=size, device=device))
    assert {name: getattr(made.config, name) for name in expected} == expected
    assert {*expected, "patches_per_image", "epochs", "learning_rate"} == set(made.reasons)
    assert all(made.reasons.values()) and made.config.learning_rate == 1e-3
    word = "GPU" if device == "gpu" else "CPU"
    assert all(word in made.reasons[name] for name in ("depth", "filters", "batch_size"))
    own = plan(FnetConfig(depth=2, batch_size=5), facts_for(ndim, size=size))
    assert own.config.batch_size == 5 and not {"depth", "batch_size"} & set(own.reasons)


@pytest.mark.parametrize(("side", "depth"), [(9, 1), (20, 1), (40, 2), (70, 3), (130, 4), (2000, 4)])
def test_small_images_get_a_shallow_network(side, depth):
    made = plan(FnetConfig(), facts_for(size=side, device="gpu")).config
    assert made.depth == depth
    assert max(made.patch_size) <= max(side, 2**depth) and made.patch_size[0] % 2**depth == 0


def test_what_does_not_fit_is_refused_with_what_does():
    for patch, words in [
        ((18, 18), "Try 16 x 16"),
        ((128, 128), "larger than the smallest training image, 64 x 64. Try 64 x 64"),
        ((8, 16, 16), "2 dimensions"),
    ]:
        with pytest.raises(ConfigError, match=words):
            plan(FnetConfig(patch_size=patch, depth=3), facts_for())


@pytest.mark.parametrize(("ndim", "size"), [(2, (20, 24)), (3, (3, 40, 40))])
def test_images_smaller_than_the_network_is_deep_are_mirrored(ndim, size):
    facts = facts_for(ndim, size=size)
    config = plan(FnetConfig(depth=4, filters=4, batch_size=2), facts).config
    model = FnetModel(config, facts)
    image = np.random.default_rng(0).normal(size=(*size, 1)).astype(np.float32)
    pair = Sample("s", "s", Held(image), Held(image))
    batch = model.batch([pair], np.random.default_rng(0))
    assert np.isfinite(float(model.step(batch, 1e-3)["loss"]))
    assert predict_tiled(model.forward, image, model.geometry)[0].shape == image.shape


# -- from folders to files ----------------------------------------------------------------------------


def fields(shape, seed):
    """Transmitted light and two stains uint16; the second is an edge of the first, and far dimmer."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    smooth /= smooth.std()
    light = 20000 + 5000 * smooth + rng.normal(0, 100, shape)
    dna, actin = 9000 + 4000 * smooth, 300 + 40 * np.abs(smooth)
    return [part.clip(0, 65535).astype(np.uint16) for part in (light, dna, actin)]


def write_fields(folder, make, n=6, shape=(48, 40), first=0):
    for i in range(first, first + n):
        for name, image in zip(("light", "dna", "actin"), fields(shape, i), strict=True):
            make.write(folder / name / f"field_{i}.tif", image)
    return {"source": f"{folder / 'light'}", "target": f"{folder / 'dna'}; {folder / 'actin'}"}


def prepared(folders, **params):
    network = networks.get("fnet")
    config = network.Config.parse({**folders, "name": "run", **TRAINED, **params})
    return session.prepare(network, config, open_data(config, network))


def trained(folders, **params):
    made = prepared(folders, **params)
    run = session.begin(made)
    session.train(run, made.data)
    return run


@pytest.fixture(scope="module")
def two_stains(make, tmp_path_factory):
    """A trained run from transmitted light to two stains. Read only."""
    folder = tmp_path_factory.mktemp("stains")
    return trained(write_fields(folder, make), results=str(folder / "runs"))


def test_stains_of_several_folders_are_named_after_them_in_scores_and_files(two_stains, tmp_path):
    run = open_run(two_stains.folder)
    assert run.facts.extra["target_channels"] == ("dna", "actin")
    model = run.load()
    assert model.maps[0].channels == ("dna", "actin")
    judged = session.judge(run, say=lambda text: None)
    r = {name: judged["metrics"][name]["network"]["mean"] for name in judged["metrics"] if "pearson" in name}
    assert {"pearson_r", "pearson_r_dna", "pearson_r_actin"} <= set(r)
    assert r["pearson_r"] == pytest.approx((r["pearson_r_dna"] + r["pearson_r_actin"]) / 2)
    light = session.data_of(run).split.test[0].source
    (written,) = predict_folder(run, model, str(light.path), tmp_path)
    assert not written.problem and [p.name for p in written.outputs] == [light.path.name]
    with TiffFile(written.outputs[0]) as tif:
        assert tif.series[0].axes == "CYX" and tif.series[0].dtype == np.float32
        found = np.moveaxis(tif.asarray(), 0, -1)
    np.testing.assert_allclose(found, predict(run, model, light.read()).main, rtol=1e-6)
    usual, spread = (np.array(run.facts.extra[key]) for key in ("target_offset", "target_span"))
    assert (np.abs(found.mean((0, 1)) - usual) < 2 * spread).all(), "each stain in its own units"


@pytest.mark.parametrize("stains", [1, 2])
@pytest.mark.parametrize(("ndim", "shape"), [(2, (70, 90)), (3, (12, 40, 48))])
def test_images_larger_than_memory_are_written_as_those_that_fit(
    make, tmp_path, monkeypatch, ndim, shape, stains
):
    monkeypatch.setattr(tiles, "default_tile", lambda *args: (4, 16, 16)[-ndim:])
    model = build(ndim, stains=stains)
    scramble(model.net)
    run = Run(tmp_path, networks.get("fnet"), model.config, model.facts, {})
    path = make.write(tmp_path / "light.tif", fields(shape, 0)[0])
    files = []
    for name, limit in (("memory", 10**9), ("stream", 0)):
        (written,) = predict_folder(run, model, str(path), tmp_path / name, stream_above=limit)
        assert not written.problem
        files += written.outputs
    one, other = map(imread, files)
    expected = predict(run, model, imread(path)[..., None]).main
    expected = np.moveaxis(expected, -1, -3) if stains > 1 else expected[..., 0]
    np.testing.assert_allclose(one, expected, rtol=1e-4)
    assert one.shape == other.shape and one.std() > 0
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * one.std())
    with TiffFile(files[1]) as tif:
        assert tif.series[0].axes == ("ZYX" if stains == 1 else "ZCYX")[-one.ndim :]


def test_where_it_is_unsure_is_saved_if_asked_for(two_stains, tmp_path):
    model, light = two_stains.load(), session.data_of(two_stains).split.test[0].source
    for wanted, names in ((False, {"field_"}), (True, {"field_", "field__disagreement"})):
        run = two_stains.using(disagreement=wanted)
        (written,) = predict_folder(run, model, str(light.path), tmp_path / str(wanted))
        assert {p.stem.translate({ord(d): None for d in "0123456789"}) for p in written.outputs} == names
    unsure = predict(two_stains, model, light.read(), turned=True).extra["disagreement"]
    assert unsure.shape == (*light.info().shape, 2) and (unsure >= 0).all() and unsure.mean() > 0
    np.testing.assert_allclose(np.moveaxis(imread(written.outputs[1]), 0, -1), unsure, rtol=1e-4)


def test_every_file_of_an_image_counts_when_a_run_is_opened_again(make, tmp_path):
    folders = write_fields(tmp_path, make)
    made = prepared(folders, results=str(tmp_path / "runs"))
    run = session.begin(made)
    row = run.files()[0]
    digest = {
        kind: hashlib.sha256((tmp_path / kind / f"{row['name']}.tif").read_bytes()).hexdigest()
        for kind in ("light", "dna", "actin")
    }
    assert row["sha256"] == digest["light"], "one file has the digest that sha256sum says"
    assert row["target_sha256"].split() == [digest["dna"], digest["actin"]]
    assert not changed_files(run, made.data)
    make.write(tmp_path / "actin" / f"{row['name']}.tif", fields((48, 40), 99)[2])
    assert changed_files(run, made.data) == [row["name"]]


def test_a_stack_becomes_one_plane_where_its_planes_are_channels(make, tmp_path):
    for i in range(5):
        stack = np.stack([fields((40, 36), 10 * i + z)[0] for z in range(3)])
        make.write(tmp_path / "light" / f"f{i}.tif", stack, "ZYX")
        make.write(tmp_path / "dna" / f"f{i}.tif", stack.max(0) // 3)
    folders = {"source": str(tmp_path / "light"), "target": str(tmp_path / "dna")}
    with pytest.raises(Exception, match=r"stack of 3 planes, its target .* single plane.*axes = CYX"):
        session.begin(prepared(folders, patch_size=(2, 16, 16), results=str(tmp_path / "runs")))
    assert not (tmp_path / "runs").exists()
    run = trained(folders, axes="CYX", results=str(tmp_path / "runs"))
    assert run.facts.ndim == 2 and len(run.facts.channels) == 3
    written = session.apply(run, folders["source"], say=lambda text: None)
    assert not [w.problem for w in written if w.problem] and len(written) == 5
    assert imread(written[0].outputs[0]).shape == (40, 36)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_images_of_any_type_are_learned_in_their_own_units(make, tmp_path, dtype):
    units = {"uint8": (0, 250), "int16": (-900, 900), "uint32": (0, 3e6)}.get(dtype, (-1, 2))
    for i in range(4):
        for kind, image in zip(("light", "dna"), fields((32, 32), i), strict=False):
            values = np.interp(image, (image.min(), image.max()), units).astype(dtype)
            path = tmp_path / kind / f"f{i}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, values)
    made = prepared({"source": str(tmp_path / "light"), "target": str(tmp_path / "dna")}, axes="YX")
    assert made.facts.dtype == dtype
    (offset,), (span,) = (made.facts.extra[key] for key in ("target_offset", "target_span"))
    assert units[0] < offset < units[1] and 0.05 < span / (units[1] - units[0]) < 0.5
    network = networks.get("fnet")
    targets = np.stack([sample.target.read() for sample in made.data.split.train])
    learned = network.target_scale(made.facts)(targets)
    assert abs(learned.mean()) < 1e-3 and learned.std() == pytest.approx(1, abs=1e-3)
    found = restoring.decode(learned, made.facts).main
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, targets, atol=1e-3 * span)


# -- 16 bit -------------------------------------------------------------------------------------------

SIDE = 160


def ramp(i):
    """A smooth slope over more than 20,000 grey levels, another direction for each i, uint16."""
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)
    angle = 0.3 + 0.7 * i
    slope = np.cos(angle) * y + np.sin(angle) * x
    return (2000 + 61000 * (slope - slope.min()) / np.ptp(slope)).round().astype(np.uint16)


@pytest.fixture(scope="module")
def deep(make, tmp_path_factory):
    """A run trained on 16-bit slopes. Read only."""
    folder = tmp_path_factory.mktemp("deep")
    for i in range(4):
        make.write(folder / "light" / f"f{i}.tif", ramp(i))
        make.write(folder / "dna" / f"f{i}.tif", ramp(i)[::-1, ::-1] // 2 + 7)
    folders = {"source": str(folder / "light"), "target": str(folder / "dna")}
    return trained(folders, epochs=6, patches_per_image=8, learning_rate=0.01, results=str(folder / "runs"))


def fine(image):
    """Whether an image has the fine grey levels of its source rather than those of a byte."""
    levels = np.unique(image.astype(np.float32).round(2))
    steps = np.diff(levels)
    inner = (levels[1:] > np.percentile(image, 5)) & (levels[1:] < np.percentile(image, 95))
    return len(levels) > 5000 and steps[inner].max() < 128 and (levels % 256 != 0).mean() > 0.99


def test_the_ramps_have_more_than_20000_levels():
    assert len(np.unique(ramp(0))) > 20000 and fine(ramp(0))
    assert not fine(ramp(0) // 256 * 256), "8 bit would be noticed"


def test_16_bit_stay_16_bit_from_file_to_file(deep, tmp_path):
    run, model = deep, deep.load()
    sample = session.data_of(run).split.test[0]
    image, target = sample.source.read(), run.network.task.read_target(sample, run.facts)
    assert image.dtype == np.uint16 and target.max() > 20000 and fine(target)
    (written,) = predict_folder(run, model, str(sample.source.path), tmp_path)
    found = imread(written.outputs[0])
    assert found.dtype == np.float32 and fine(found)
    assert found.max() > 1000, "in the units of the targets"
    for ready in (run.learned_source(sample), run.learned_target(sample)):
        assert len(np.unique(ready)) > 12000 and ready.dtype == np.float32


def test_one_grey_level_of_65536_reaches_the_network(deep, make, tmp_path):
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    assert len(np.unique(deep.scaling(every))) == 65536
    model, seen = deep.load(), []
    forward = model.forward
    model.forward = lambda tiles: (seen.append(tiles.copy()), forward(tiles))[1]
    brighter = ramp(0)
    brighter[80, 80] += 1
    for name, image in (("as_it_is", ramp(0)), ("brighter", brighter)):
        path = make.write(tmp_path / f"{name}.tif", image)
        (written,) = predict_folder(deep, model, str(path), tmp_path / "found")
        assert not written.problem
    (before, after), level = seen, 1 / ramp(0).std()
    change = (after - before)[0, ..., 0]
    assert change[80, 80] == pytest.approx(level, rel=0.01)
    change[80, 80] = 0  # mean and standard deviation of the image change a little, and all pixels with them
    assert np.abs(change).max() < 0.02 * level


def test_the_classical_method_keeps_16_bit_too(deep, monkeypatch):
    from zcdl_common.baselines import forest, sampled

    monkeypatch.setattr(forest, "TREES", 8)
    monkeypatch.setattr(sampled, "PIXELS", 1500)
    run, data = deep, session.data_of(deep)
    found = resolve(run.network.task.baseline)(data.split.train, run.facts, 0)
    image = found.predict(data.split.test[0].source.read()).main[..., 0]
    assert image.dtype == np.float32 and len(np.unique(image)) > 5000
    steps = np.diff(np.unique(image))
    assert np.median(steps) < 16 and (image % 256 != 0).mean() > 0.99


def test_files_are_read_as_they_are(deep):
    path = session.data_of(deep).split.train[0].target.path
    assert np.array_equal(ImageRef((path,)).read()[..., 0], imread(path))
