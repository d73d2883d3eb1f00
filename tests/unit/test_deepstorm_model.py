"""Deep-STORM at work: batches, learning, validation, positions."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zcdl_common.augment.points import cut_points, flip_and_turn_points
from zcdl_common.models import _heat
from zcdl_common.models.deepstorm import FILLER, VALIDATED, DeepStormModel
from zcdl_common.networks.deepstorm import DeepStormConfig
from zcdl_common.smlm import simulate
from zcdl_common.task import Facts, Sample
from zcdl_common.tiles import predict_tiled, predict_whole, tiles

TINY = {
    "camera": "emccd", "density": (1.0, 3.0), "photons": (1500.0, 2500.0), "background": (10.0, 20.0),
    "sigma_nm": (105.0, 115.0), "brightness": "lognormal", "upsampling": 4, "filters": 4,
    "patch_size": (16, 12), "batch_size": 3, "learning_rate": 2e-3,
}  # fmt: skip
MEAN, SD = 300.0, 200.0


def build(**params):
    extra = {"source_offset": (MEAN,), "source_span": (SD,), "source_mean": (MEAN,), "source_sd": (SD,)}
    facts = Facts(2, ("light",), ((64, 64),), "uint16", pixel_size=(0.1, 0.1), extra=extra)
    return DeepStormModel(DeepStormConfig.parse({**TINY, **params}), facts)


def held(array):
    return SimpleNamespace(path=None, read=lambda: array)


def simulated(model, count, side=20, seed=1):
    """Prepared samples of simulated frames."""
    sim = model.simulation or build().simulation
    frames, emitters = simulate.frames(np.random.default_rng(seed), sim, count, (side, side))
    scaled = ((frames - MEAN) / SD).astype(np.float32)[..., None]
    return [
        Sample(str(t), "movie", held(scaled[t]), held(emitters.yx[emitters.frame == t].astype(np.float32)))
        for t in range(count)
    ]


def brightness(patch, yx):
    """Scaled values of the pixels that points lie in."""
    y, x = np.floor(yx).astype(int).T
    return patch[y, x, 0]


def test_simulated_batches_are_scaled_frames_with_their_emitters_and_depend_on_the_seed_alone():
    model = build()
    made, again, other = (model.batch((), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert made["source"].shape == (3, 16, 12, 1) and made["source"].dtype == np.float32
    assert made["target"].shape[::2] == (3, 2) and made["target"].dtype == np.float32
    for name in made:
        np.testing.assert_array_equal(made[name], again[name])
    assert made["source"].std() != other["source"].std()
    rng = np.random.default_rng(5)
    frames, emitters = simulate.frames(rng, model.simulation, 3, (16, 12))
    np.testing.assert_allclose(made["source"][..., 0] * SD + MEAN, frames, atol=0.01)
    for t, rows in enumerate(made["target"]):
        true = emitters.yx[emitters.frame == t]
        np.testing.assert_allclose(rows[: len(true)], true, atol=1e-5)
        assert (rows[len(true) :] == FILLER).all()


def test_patches_of_a_table_take_their_emitters_with_them():
    model = build(learn_from="table", patch_size=(8, 8))
    image = np.zeros((20, 24, 1), np.float32)
    yx = np.random.default_rng(0).uniform(0, (20, 24), (30, 2)).astype(np.float32)
    for place in yx:
        image[int(place[0]), int(place[1])] = 1
    batch = model.batch([Sample("a", "a", held(image), held(yx))], np.random.default_rng(1))
    for patch, rows in zip(batch["source"], batch["target"], strict=True):
        inside = rows[rows[:, 0] >= 0]
        assert len(inside) and (inside < 8).all()
        lit = np.zeros((8, 8, 1), bool)
        lit[tuple(np.floor(inside).astype(int).T)] = True
        np.testing.assert_array_equal(patch > 0, lit)


@pytest.mark.parametrize("shape", [(7, 7), (5, 9)])
def test_points_go_where_their_pixels_go(shape):
    rng = np.random.default_rng(3)
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(*shape, 1)
    yx = rng.uniform(0, shape, (6, 2)).astype(np.float32)
    seen = set()
    for _ in range(60):
        patch, moved = flip_and_turn_points(image, yx, rng)
        assert patch.shape == image.shape
        np.testing.assert_array_equal(brightness(patch, moved), brightness(image, yx))
        # also inside the pixel: distances to each other stay
        np.testing.assert_allclose(
            np.linalg.norm(moved[:, None] - moved, axis=2),
            np.linalg.norm(yx[:, None] - yx, axis=2),
            atol=1e-5,
        )
        seen.add(patch.tobytes())
    assert len(seen) == (8 if shape[0] == shape[1] else 4)
    part, inside = cut_points(image, yx, (1, 2), (3, 2))
    np.testing.assert_array_equal(brightness(part, inside), brightness(image, inside + np.array([1, 2])))
    assert len(inside) == ((yx >= (1, 2)) & (yx < (4, 4))).all(axis=1).sum()


def test_it_learns_to_find_emitters_and_validation_sees_that():
    torch.manual_seed(0)
    model = build(patch_size=(20, 20), batch_size=8, filters=6, density=(0.5, 1.5))
    judged, rng = simulated(model, 12), np.random.default_rng(0)
    before = model.validate(judged)
    for step in range(150):
        model.step(model.batch((), rng), 4e-3 * (1 - step / 150))
    after = model.validate(judged)
    assert set(after) == {"val_loss", "val_jaccard"}
    assert after["val_loss"] < 0.8 * before["val_loss"]
    assert after["val_jaccard"] > max(0.6, 2 * before["val_jaccard"])


def test_validation_is_the_mean_over_frames_spread_over_all(monkeypatch):
    model = build()
    judged = simulated(model, 6)
    alone = [model.validate([one])["val_loss"] for one in judged]
    assert model.validate(judged)["val_loss"] == pytest.approx(np.mean(alone), rel=1e-5)
    monkeypatch.setattr("zcdl_common.models.deepstorm.VALIDATED", 3)
    assert model.validate(judged)["val_loss"] == pytest.approx(np.mean(alone[::2]), rel=1e-5)
    assert VALIDATED >= 50


def test_positions_on_the_device_are_those_of_the_maps():
    model = build()
    model.net.head.weight.data.mul_(1000)  # as untrained it finds nothing
    frames = np.stack([one.source.read() for one in simulated(model, 3)])
    (maps,) = model.forward(frames)
    assert maps.shape == (3, 80, 80, 1)
    low, high = (model.localise(frames, {"threshold": t}) for t in (0.0, 0.5))
    assert sum(len(one.main) for one in low) > sum(len(one.main) for one in high) > 0
    for t, found in enumerate(high):
        again = model.decode((maps[t],), {"threshold": 0.5})
        assert found.main.dtype == again.main.dtype == np.float32
        np.testing.assert_allclose(found.main, again.main, atol=1e-4)
        np.testing.assert_allclose(found.extra["scores"], again.extra["scores"], rtol=1e-4)
        assert (found.extra["scores"] > 0.5).all() and found.extra["scores"].shape == found.main.shape[:1]
        direct = _heat.peaks(torch.from_numpy(maps[t : t + 1]).movedim(-1, 1), 4)
        kept = direct.confidence > 0.5
        np.testing.assert_allclose(found.main, direct.yx[kept].numpy(), atol=1e-6)
    (nothing,) = model.localise(np.zeros((1, 8, 8, 1), np.float32), {"threshold": 1e9})
    assert nothing.main.shape == (0, 2) and nothing.extra["scores"].shape == (0,)


def test_frames_together_or_one_by_one_hold_the_same_and_a_cpu_takes_them_one_by_one():
    model = build()
    assert (model.together == 1) == (model.device.type == "cpu")
    model.net.head.weight.data.mul_(1000)
    frames = np.stack([one.source.read() for one in simulated(model, 5)])
    seen, found = [], []
    model.net.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    for together in (1, 2, 5):
        model.together = together
        found.append(model.localise(frames, {"threshold": 0.3}))
    assert seen == [1] * 5 + [2, 2, 1] + [5]
    for one, two, five in zip(*found, strict=True):
        assert len(one.main) > 0
        for other in (two, five):
            np.testing.assert_allclose(one.main, other.main, atol=1e-3)
            np.testing.assert_allclose(one.extra["scores"], other.extra["scores"], atol=1e-3)


def test_tiles_give_the_map_of_the_whole_frame():
    model = build()
    frame = np.random.default_rng(0).normal(size=(70, 50, 1)).astype(np.float32)
    (whole,) = predict_whole(model.forward, frame, model.geometry)
    (tiled,) = predict_tiled(model.forward, frame, model.geometry, tile=(20, 20))
    assert whole.shape == (280, 200, 1)
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * np.ptp(whole))


@pytest.mark.parametrize("upsampling", [4, 8])
def test_tiles_find_the_positions_of_the_whole_frame(upsampling):
    model = build(upsampling=upsampling, filters=4)
    model.net.head.weight.data.mul_(3000)
    frame = np.random.default_rng(0).normal(size=(90, 60, 1)).astype(np.float32)
    (whole,) = model.localise(frame[None], {"threshold": 0.3})
    parts = []
    for tile in tiles(frame.shape[:2], model.geometry, (16, 60)):
        (found,) = model.localise(frame[tile.window][None], {"threshold": 0.3})
        points = found.main + np.array([w.start for w in tile.window], np.float32)
        parts.append(points[tile.owns(points)])
    assert len(parts) == 6 and len(whole.main) > 200
    rows = [x[np.lexsort(x.T.round(3))] for x in (whole.main, np.concatenate(parts))]
    np.testing.assert_allclose(*rows, atol=2e-3)


def test_a_state_goes_on_as_if_nothing_had_happened():
    one, other = build(), build(seed=1)
    rng = np.random.default_rng(0)
    batches = [one.batch((), rng) for _ in range(3)]
    one.step(batches[0], 1e-3)
    other.restore(one.state())
    losses = [[float(m.step(b, 1e-3)["loss"]) for b in batches[1:]] for m in (one, other)]
    assert losses[0] == losses[1]
