import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from zcdl_common import networks
from zcdl_common.errors import ConfigError, RunError
from zcdl_common.models.stardist import StarDistModel, joined
from zcdl_common.networks.augmented import AugmentedConfig
from zcdl_common.networks.stardist import StarDistConfig, field_of_view, plan
from zcdl_common.patches import Prepared
from zcdl_common.rois import read_rois
from zcdl_common.run import Run
from zcdl_common.task import Facts, Prediction, Sample
from zcdl_common.tiles import predict_tiled, predict_whole

TINY = {"depth": 1, "filters": 4, "n_rays": 8, "batch_size": 4, "learning_rate": 1e-3}


def facts_for(ndim=2, channels=1, size=64, extents=None, device="cpu"):
    sides = tuple(extents or (14.0,) * ndim)
    extra = {"extents": sides, "anisotropy": tuple(max(sides) / s for s in sides), "objects": 20}
    return Facts(
        ndim, tuple(f"c{i}" for i in range(channels)), ((size,) * ndim,), "uint16",
        counts={"train": 2}, extra=extra, device=device,
    )  # fmt: skip


def build(ndim=2, channels=1, **params):
    volume = {"anisotropy": (2.0, 1.0, 1.0), "grid": (1, 2, 2)} if ndim == 3 else {"grid": (2, 2)}
    config = StarDistConfig.parse({"patch_size": (16,) * ndim, **volume, **TINY, **params})
    return StarDistModel(config, facts_for(ndim, channels))


def discs(shape, seed=0, count=9, radius=5.0):
    rng = np.random.default_rng(seed)
    labels, axes = np.zeros(shape, np.int32), np.indices(shape)
    for number in range(1, count + 1):
        centre = rng.uniform(0, shape).reshape(-1, *(1,) * len(shape))
        labels[((axes - centre) ** 2).sum(0) < radius**2] = number
    return labels


def sample(labels):
    class Ready(Prepared):
        def read(self):
            return self.make()

    source = (labels > 0).astype(np.float32)[..., None]
    return Sample("s", "s", *(Ready(None, lambda a=a: a, None) for a in (source, labels)))


def scramble(model):
    """Weights under which no path through the network is silent."""
    rng = np.random.default_rng(1)
    model.net.set_weights(
        [rng.normal(0.1, 0.2, w.shape) / np.sqrt(max(1, w[..., 0].size)) for w in model.net.get_weights()]
    )
    return model


# -- what is learned ------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_batch_is_what_the_librarys_generator_makes_of_the_same_patches(ndim):
    from stardist import rays_from_json
    from stardist.models import StarDistData2D, StarDistData3D

    model = build(ndim, augment=False, foreground_patches=0.0)
    labels = discs((16,) * ndim)
    batch = model.batch([sample(labels)], np.random.default_rng(0))
    pair = ([batch["source"][0, ..., 0]], [labels])
    kwargs = {"batch_size": 1, "length": 1, "patch_size": (16,) * ndim, "grid": model.grid}
    if ndim == 2:
        data = StarDistData2D(*pair, n_rays=8, **kwargs)
    else:
        rays = rays_from_json(model.library.config.rays_json)
        data = StarDistData3D(*pair, rays=rays, anisotropy=model.config.anisotropy, **kwargs)
    (source,), (probability, distances) = data[0]
    np.testing.assert_array_equal(batch["source"][:1], source)
    np.testing.assert_allclose(batch["probability"][:1], probability, atol=1e-6)
    np.testing.assert_allclose(batch["distances"][:1], distances, atol=1e-4)
    assert distances.max() > 3


def test_threads_make_the_same_batch():
    one, many = build(), build()
    many.threads = 3
    images = [sample(discs((64, 64), seed)) for seed in range(3)]
    a, b = (model.batch(images, np.random.default_rng(5)) for model in (one, many))
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not np.array_equal(a["source"], one.batch(images, np.random.default_rng(6))["source"])


def test_patches_show_objects_where_that_is_asked_for():
    labels = np.zeros((128, 128), np.int32)
    labels[40:46, 40:46] = 1
    shown = {}
    for share in (0.0, 1.0):
        model, rng = build(augment=False, foreground_patches=share), np.random.default_rng(0)
        shown[share] = np.mean([model.patch(sample(labels), rng)[1].any() for _ in range(60)])
    assert shown[0.0] < 0.2 and shown[1.0] > 0.5


def test_images_without_objects_can_be_learned_from():
    model = build()
    batch = model.batch([sample(np.zeros((64, 64), np.int32))], np.random.default_rng(0))
    assert not batch["probability"].any() and not batch["distances"].any()
    assert np.isfinite(float(model.step(batch, 1e-3)["loss"]))
    assert np.isfinite(model.validate([sample(np.zeros((40, 41), np.int32))])["val_loss"])


def test_large_numbers_of_labels_are_no_trouble():
    model, labels = build(), discs((32, 32))
    many = np.where(labels > 0, labels + 3_000_000, 0)
    for one, other in zip(model.answers(labels), model.answers(many), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("ndim", "loss"), [(2, "mae"), (2, "iou"), (3, "mae")])
def test_training_leaves_the_weights_that_the_librarys_own_fit_leaves(ndim, loss):
    ours, theirs = (build(ndim, distance_loss=loss, distance_weight=0.3) for _ in range(2))
    theirs.net.set_weights(ours.net.get_weights())
    images = [sample(discs((24,) * ndim, seed)) for seed in range(3)]
    batches = [ours.batch(images, np.random.default_rng(seed)) for seed in range(4)]
    losses = [float(ours.step(batch, 1e-3)["loss"]) for batch in batches]
    x, prob, dist = (np.concatenate([b[key] for b in batches]) for key in ("source", *ours.targets))
    log = theirs.library.keras_model.fit(x, [prob, dist], batch_size=4, shuffle=False, verbose=0).history
    assert np.mean(losses) == pytest.approx(log["loss"][0], rel=1e-5)
    for one, other in zip(ours.net.get_weights(), theirs.net.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_batch_in_parts_learns_about_the_same():
    """Not the very same: stardist divides by the weights of the points that go through at once."""
    whole, parts = build(), build()
    parts.part = 2
    parts.net.set_weights(whole.net.get_weights())
    batch = whole.batch([sample(discs((64, 64), seed)) for seed in range(3)], np.random.default_rng(0))
    one, two = (float(model.step(batch, 1e-3)["loss"]) for model in (whole, parts))
    assert one == pytest.approx(two, rel=0.2)


@pytest.mark.parametrize("freeze", ["encoder", "all but the last layer"])
def test_what_is_frozen_stays(freeze):
    model = build(freeze=freeze)
    before = model.net.get_weights()
    model.step(model.batch([sample(discs((32, 32)))], np.random.default_rng(0)), 0.01)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.net.get_weights(), strict=True)]
    assert not changed[0] and changed[-1]
    assert sum(changed) <= 4 if freeze.startswith("all") else sum(changed) > 4


# -- geometry -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "depth"),
    [((1, 1), 1), ((2, 2), 1), ((4, 4), 1), ((2, 2), 2), ((1, 2, 2), 1), ((1, 2, 2), 0), ((2, 4, 4), 0)],
)
def test_no_pixel_beyond_the_halo_changes_an_output_pixel(grid, depth):
    ndim = len(grid)
    model = build(ndim, grid=grid, depth=depth, patch_size=(16,) * ndim)
    for layer in model.net.layers:  # means of all that a filter sees: no path is silent, however long
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([np.full_like(kernel, kernel.shape[-1] / kernel.size), np.zeros_like(bias)])
    halo, stride = model.geometry.halo, model.geometry.multiple
    assert model.geometry.multiple == model.library._axes_div_by("ZYX"[-ndim:])
    size = tuple(2 * (h + 2 * s) for h, s in zip(halo, stride, strict=True))
    image = np.zeros((1, *size, 1), np.float32)  # what comes out of it is 0, so that nothing is rounded away
    before, reach = model.forward(image), [0] * ndim
    for offset in range(max(stride)):
        place = tuple(n // 2 + min(offset, s - 1) for n, s in zip(size, stride, strict=True))
        changed = image.copy()
        changed[(0, *place)] = 1e20
        for one, other in zip(model.forward(changed), before, strict=True):
            where = np.argwhere((one != other)[0].any(-1))
            for axis in range(ndim):
                first, last = where[:, axis].min() * grid[axis], where[:, axis].max() * grid[axis]
                ends = (place[axis] - first, last + grid[axis] - 1 - place[axis])
                reach[axis] = max(reach[axis], *ends)
    for axis in range(ndim):
        assert reach[axis] <= halo[axis] <= 1.5 * reach[axis] + stride[axis]


@pytest.mark.parametrize(
    ("ndim", "shape", "depth"), [(2, (93, 131), 1), (3, (11, 42, 50), 1), (3, (11, 90, 100), 0)]
)
def test_tiles_give_what_the_whole_image_gives(ndim, shape, depth):
    model = scramble(build(ndim, depth=depth))
    image = np.random.default_rng(0).normal(size=(*shape, 1)).astype(np.float32)
    whole = predict_whole(model.forward, image, model.geometry)
    tiled = predict_tiled(model.forward, image, model.geometry, tile=(8,) * ndim)
    points = tuple(-(-n // g) for n, g in zip(shape, model.grid, strict=True))
    assert [w.shape for w in whole] == [(*points, 1), (*points, 8)]
    for one, other in zip(tiled, whole, strict=True):
        assert other.std() > 5e-4
        np.testing.assert_allclose(one, other, atol=1e-4)


# -- objects --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ndim", "shape"), [(2, (61, 75)), (3, (14, 41, 45))])
def test_perfect_maps_become_the_objects_they_describe(ndim, shape):
    from zcdl_common.metrics.instances import agreement, overlaps

    model = build(ndim, n_rays=32)
    labels = discs(shape, seed=4, count=12, radius=6)
    for number in np.unique(labels):  # slivers that others cover are no objects
        if (labels == number).sum() < 100:
            labels[labels == number] = 0
    probability, distances = model.answers(labels)
    found = model.decode(
        (probability, distances[..., :-1]), {"prob_thresh": 0.5, "nms_thresh": 0.3, "shape": shape}
    )
    assert found.main.shape == shape and found.main.dtype == np.int32
    assert agreement(overlaps(labels, found.main), 0.5)["ap"] > 0.7
    count = found.main.max()
    assert set(np.unique(found.main)) == set(range(count + 1))
    assert {key: len(value) for key, value in found.extra.items()} == dict.fromkeys(found.extra, count)
    for number, point in enumerate(found.extra["points"], 1):
        assert found.main[tuple(np.floor(point).astype(int))] in (number, found.main.max(), *range(count + 1))


def test_objects_are_those_of_the_librarys_own_prediction():
    model = scramble(build())
    rng = np.random.default_rng(0)
    probability = rng.random((40, 40, 1), np.float32)
    distances = rng.uniform(2, 8, (40, 40, 8)).astype(np.float32)
    found = model.decode((probability, distances), {"prob_thresh": 0.7, "nms_thresh": 0.4, "shape": (79, 80)})
    labels, details = model.library._instances_from_prediction(
        (79, 80), probability[..., 0], distances, prob_thresh=0.7, nms_thresh=0.4
    )
    assert np.array_equal(found.main > 0, labels > 0)
    pairs = np.unique(np.stack([found.main, labels]).reshape(2, -1), axis=1)
    assert pairs.shape[1] == len(np.unique(labels)), "another number, the same objects"
    shown = np.unique(labels)[1:] - 1
    np.testing.assert_allclose(found.extra["points"], details["points"][shown] + 0.5)
    np.testing.assert_allclose(found.extra["scores"], details["prob"][shown])


@pytest.mark.parametrize("ndim", [2, 3])
def test_objects_of_a_higher_threshold_are_the_same_ones_without_the_less_sure(ndim):
    model, rng = build(ndim), np.random.default_rng(0)
    shape = (30, 30) if ndim == 2 else (8, 12, 12)
    maps = (rng.random((*shape, 1), np.float32), rng.uniform(2, 6, (*shape, 8)).astype(np.float32))
    low, high = (model.decode(maps, {"prob_thresh": t, "nms_thresh": 0.4}) for t in (0.6, 0.85))
    kept = 1 + np.flatnonzero(low.extra["scores"] > 0.85)
    assert 1 < len(kept) < low.main.max()
    assert np.array_equal(np.isin(low.main, kept), high.main > 0)
    np.testing.assert_array_equal(low.extra["scores"][kept - 1], high.extra["scores"])


def test_a_preview_of_an_untrained_network_looks_at_the_surest_candidates_alone():
    model, rng = build(3), np.random.default_rng(0)
    maps = (
        rng.uniform(0.5, 0.9, (12, 40, 40, 1)).astype(np.float32),
        np.full((12, 40, 40, 8), 0.2, np.float32),
    )
    settings = {"prob_thresh": 0.5, "nms_thresh": 0.4}
    full, preview = (model.decode(maps, {**settings, "preview": p}) for p in (False, True))
    assert 0 < len(preview.extra["scores"]) <= 1000 < len(full.extra["scores"])
    assert preview.extra["scores"].min() > 0.8


@pytest.mark.parametrize("ndim", [2, 3])
def test_nothing_found_is_an_empty_image(ndim):
    model = build(ndim)
    shape = (10,) * ndim
    found = model.decode(
        (np.zeros((*shape, 1), np.float32), np.ones((*shape, 8), np.float32)),
        {"prob_thresh": 0.5, "nms_thresh": 0.4},
    )
    assert not found.main.any() and found.main.dtype == np.int32
    assert {key: len(value) for key, value in found.extra.items()} == dict.fromkeys(found.extra, 0)


def test_an_image_too_large_for_memory_is_written_with_the_same_objects(tmp_path):
    import tifffile

    from zcdl_common.predict import predict_folder

    model = scramble(build())
    config = model.config.changed(prob_thresh=0.5, nms_thresh=0.3)
    facts = Facts(2, ("c0",), ((64, 64),), "uint16", extra={"large_extents": (20.0, 20.0)})
    run = Run(tmp_path, networks.get("stardist"), config, facts, {})
    image = np.random.default_rng(0).integers(0, 5000, (91, 130)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "new.tif", image)
    outputs, tables, regions = [], [], []
    for n in (10, 10**9):
        (written,) = predict_folder(run, model, str(tmp_path / "new.tif"), tmp_path / str(n), stream_above=n)
        assert written.problem == ""
        assert ("tile by tile" in written.note) == (n == 10)
        labels, table, rois = written.outputs
        outputs.append(tifffile.imread(labels))
        tables.append(pd.read_csv(table))
        regions.append(read_rois(rois, image.shape).labels)
    assert outputs[0].dtype == np.uint32 and outputs[0].max() > 3
    assert np.array_equal(*outputs)
    pd.testing.assert_frame_equal(*tables, check_dtype=False)
    assert len(tables[0]) == len(np.unique(outputs[0])) - 1
    assert np.array_equal(*regions)
    kept = np.unique(outputs[0])
    assert np.array_equal(kept[regions[0]], outputs[0]), "the regions give the labels back, in their order"


def test_labels_are_kept_when_no_table_can_be_written(tmp_path, monkeypatch):
    from zcdl_common import predict, tables

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(tables, "write_table", full)
    facts = Facts(2, ("c0",), ((64, 64),), "uint16")
    run = Run(tmp_path, networks.get("stardist"), build().config, facts, {})
    found = Prediction(np.ones((4, 4), np.int32))
    paths, note = predict._described(run, found, np.ones((4, 4, 1)), None, tmp_path, "a")
    assert paths == [] and "OSError: no space left" in note


# -- weights --------------------------------------------------------------------------------------


def test_state_brings_back_weights_and_optimiser():
    model = build()
    batch = model.batch([sample(discs((32, 32)))], np.random.default_rng(0))
    model.step(batch, 1e-2)
    state = model.state()
    after = [model.step(batch, 1e-2)["loss"].numpy() for _ in range(2)]
    again = build(seed=9)
    again.restore(state)
    assert [again.step(batch, 1e-2)["loss"].numpy() for _ in range(2)] == after


def test_saved_weights_open_in_stardist_and_those_of_another_network_are_refused(tmp_path):
    model = build()
    model.save(tmp_path, "best")
    other = build(seed=5)
    other.library.keras_model.load_weights(tmp_path / "best.h5")
    assert np.array_equal(other.net.get_weights()[0], model.net.get_weights()[0])
    with pytest.raises(RunError, match="another network"):
        build(n_rays=16).load(tmp_path, "best")


@pytest.mark.parametrize(("ndim", "depth"), [(2, 1), (3, 1), (3, 0)])
def test_a_packages_model_says_the_same_on_the_grid(ndim, depth, tmp_path):
    model = scramble(build(ndim, depth=depth))
    image = np.random.default_rng(0).random((1, *(16,) * ndim, 1), np.float32)
    packed = model.packed(tmp_path, {"prob_thresh": 0.6, "nms_thresh": 0.3})
    (whole,) = packed.forward(image)
    probability, distances = model.forward(image)
    assert whole.shape == (1, *(16,) * ndim, 9) and len(packed.maps[0].channels) == 9
    points = (slice(None), *(slice(None, None, g) for g in model.grid))
    np.testing.assert_allclose(whole[(*points, slice(0, 1))], probability, atol=1e-6)
    np.testing.assert_allclose(whole[(*points, slice(1, None))], distances, atol=1e-5)
    assert (whole[..., 0] > 0).sum() <= probability.size, "no point counts twice"
    record = packed.config["stardist"]
    assert record["thresholds"] == {"prob": 0.6, "nms": 0.3} and record["config"]["n_rays"] == 8
    assert json.loads(json.dumps(record)) == record
    assert all(path.exists() for path in packed.attachments)
    assert record["weights"] in [path.name for path in packed.attachments]


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_packages_attachments_make_a_model_folder_of_stardist(ndim, tmp_path):
    from stardist.models import StarDist2D, StarDist3D

    model = scramble(build(ndim))
    record = model.packed(tmp_path, {"prob_thresh": 0.6, "nms_thresh": 0.3}).config["stardist"]
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "config.json").write_text((tmp_path / "stardist_config.json").read_text())
    (folder / "thresholds.json").write_text((tmp_path / "stardist_thresholds.json").read_text())
    (folder / "weights_best.h5").write_bytes((tmp_path / record["weights"]).read_bytes())
    opened = (StarDist2D if ndim == 2 else StarDist3D)(None, name="theirs", basedir=str(tmp_path))
    assert (opened.thresholds.prob, opened.thresholds.nms) == (0.6, 0.3)
    image = np.random.default_rng(0).random((16,) * ndim, np.float32)
    probability, distances = opened.predict(image)
    ours = model.forward(image[None, ..., None])
    np.testing.assert_allclose(probability, ours[0][0, ..., 0], atol=1e-6)
    np.testing.assert_allclose(distances, np.maximum(ours[1][0], 1e-3), atol=1e-5)


def test_weights_of_a_package_are_taken_back():
    model, other = scramble(build()), build(seed=4)
    whole = joined(model.net, model.grid)
    state = {f"module/net/{i:03}": w for i, w in enumerate(whole.get_weights())}
    assert other.start(state) == []
    for one, two in zip(other.net.get_weights(), model.net.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# -- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("depth", 2), ("filters", 8), ("n_rays", 16), ("grid", (4, 4)), ("seed", 3)]
)
def test_what_shapes_the_network_changes_it(name, value):
    one, other = build(), build(**{name: value})
    image = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    a, b = (model.forward(image)[1] for model in (one, other))
    assert a.shape != b.shape or not np.allclose(a, b)


def test_flatness_changes_the_rays_and_what_is_learned():
    from zcdl_common.models.stardist import rays_of

    flat, round_ = (build(3, anisotropy=a) for a in ((3.0, 1.0, 1.0), (1.0, 1.0, 1.0)))
    assert not np.allclose(*(rays_of(m.library).vertices for m in (flat, round_)))
    labels = discs((16, 16, 16))
    (a, _), (b, _) = (model.answers(labels) for model in (flat, round_))
    assert not np.allclose(a, b)


def test_the_weight_of_the_distances_changes_the_loss():
    light, heavy = (build(distance_weight=w) for w in (0.1, 1.0))
    batch = light.batch([sample(discs((32, 32)))], np.random.default_rng(0))
    assert float(light.step(batch, 0.0)["loss"]) < float(heavy.step(batch, 0.0)["loss"])


def test_every_own_parameter_is_shown_to_do_something():
    own = set(StarDistConfig.model_fields) - set(AugmentedConfig.model_fields)
    shown = {
        "n_rays", "grid", "anisotropy", "depth", "filters", "foreground_patches", "distance_loss",
        "distance_weight", "prob_thresh", "nms_thresh",
    }  # fmt: skip
    assert own == shown, "those of AugmentedConfig: test_config.py"


@pytest.mark.parametrize(
    ("extents", "grid"),
    [((8.0, 9.0), (1, 1)), ((22.0, 25.0), (2, 2)), ((70.0, 90.0), (4, 4)), ((4.0, 20.0, 21.0), (1, 2, 2)),
     ((30.0, 14.0), (2, 2))],
)  # fmt: skip
def test_the_grid_follows_the_size_of_the_objects(extents, grid):
    planned = plan(StarDistConfig(), facts_for(len(extents), size=256, extents=extents))
    assert planned.config.grid == grid
    assert "x".join(str(round(e)) for e in extents) in planned.reasons["grid"].replace(" ", "")


def test_the_network_sees_large_objects_whole_and_says_so():
    for extents in [(20.0, 20.0), (150.0, 160.0), (300.0, 320.0)]:
        planned = plan(StarDistConfig(), facts_for(2, size=1024, extents=extents))
        config = planned.config
        assert all(f >= e for f, e in zip(field_of_view(config.grid, config.depth), extents, strict=True))
        assert all(p >= 1.9 * e for p, e in zip(config.patch_size, extents, strict=True))
    small = plan(StarDistConfig.parse({"grid": (1, 1)}), facts_for(2, size=512, extents=(90.0, 90.0)))
    assert small.config.depth > 3 and "raised" in small.reasons["depth"]


def test_flatness_is_measured_and_used():
    facts = facts_for(3, size=64, extents=(5.0, 20.0, 20.0))
    assert plan(StarDistConfig(), facts).config.anisotropy == (4.0, 1.0, 1.0)
    own = plan(StarDistConfig.parse({"anisotropy": (2, 1, 1)}), facts)
    assert own.config.anisotropy == (2, 1, 1) and "anisotropy" not in own.reasons


def test_a_patch_that_the_strips_of_one_image_make_small_says_so():
    facts = facts_for(2, size=512, extents=(30.0, 30.0))
    single = replace(facts, extra={**facts.extra, "gap": 32})
    whole, strips = (plan(StarDistConfig(), f) for f in (facts, single))
    assert strips.config.patch_size == (32, 32) and "strips" in strips.reasons["patch_size"]
    assert "neighbours" in whole.reasons["patch_size"] and whole.config.patch_size > (32, 32)


def test_a_gpu_gets_more_than_a_cpu():
    cpu, gpu = (plan(StarDistConfig(), facts_for(3, size=128, device=d)).config for d in ("cpu", "gpu"))
    assert cpu.n_rays < gpu.n_rays == 96
    assert np.prod(cpu.patch_size) < np.prod(gpu.patch_size)


def test_the_plan_says_what_cannot_be():
    facts = facts_for(2)
    with pytest.raises(ConfigError, match=r"1, 2, 4 or 8"):
        plan(StarDistConfig.parse({"grid": (3, 3)}), facts)
    with pytest.raises(ConfigError, match="residual network is for stacks"):
        plan(StarDistConfig.parse({"depth": 0}), facts_for(2))
    with pytest.raises(ConfigError, match="2 numbers"):
        plan(StarDistConfig.parse({"grid": (1, 2, 2)}), facts)
    with pytest.raises(ConfigError, match="for 3D"):
        plan(StarDistConfig.parse({"anisotropy": (1, 1)}), facts)
    with pytest.raises(ConfigError, match="multiples"):
        plan(StarDistConfig.parse({"patch_size": (40, 40)}), facts)


def test_stardist_stands_in_the_registry():
    network = networks.get("stardist")
    assert network.backend == "tensorflow" and network.primary == "ap50"
    assert network.task.decoding == {"prob_thresh": 0.5, "nms_thresh": 0.4}
