import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.baselines import denoise as module
from zcdl_common.baselines.denoise import GAUSSIAN, MEDIAN, SETTINGS, denoise, filtered
from zcdl_common.metrics.images import fit_to, normalise, psnr


def clean_image(rng, shape=(64, 60), sigma=3.0):
    return 500 + 4000 * ndimage.gaussian_filter(rng.normal(size=shape), sigma)[..., None]


def pairs(rng, noise, count=4, **options):
    images = [clean_image(rng, **options) for _ in range(count)]
    return [(noise(rng, image), image) for image in images]


def gaussian(rng, image):
    return 0.1 * image + rng.normal(0, 0.05 * np.ptp(image), image.shape)


def salt(rng, image):
    spoiled = image.copy()
    spoiled[rng.random(image.shape) < 0.1] = image.max()
    return spoiled


def score(clean, found):
    return psnr(normalise(clean), fit_to(normalise(clean), found), data_range=1.0)


@pytest.mark.parametrize(("noise", "winner"), [(salt, MEDIAN), (gaussian, None)])
def test_the_filter_that_suits_the_noise_wins_and_helps_on_new_images(noise, winner):
    rng = np.random.default_rng(0)
    found = denoise(pairs(rng, noise))
    assert winner is None or found.name == winner
    assert set(found.scores) == set(SETTINGS)
    for poor, clean in pairs(rng, noise, count=2):
        restored = found.predict(poor)
        assert restored.dtype == np.float32 and restored.shape == clean.shape
        assert score(clean, restored) > score(clean, poor) + 2
        assert abs(restored.mean() - clean.mean()) < 0.05 * np.ptp(clean), "in the units of clean images"


def test_the_best_setting_of_the_best_method_is_taken():
    found = denoise(pairs(np.random.default_rng(1), gaussian))
    method = found.predict
    others = [s for s in SETTINGS[found.name] if s != method.setting]
    train = pairs(np.random.default_rng(1), gaussian)

    def mean(setting):
        return np.mean([score(clean, filtered(poor, found.name, setting)) for poor, clean in train])

    assert all(mean(method.setting) >= mean(setting) for setting in others)
    assert found.scores[found.name] == max(found.scores.values())
    assert f"{found.scores[found.name]:.1f}" in found.description


def test_volumes_are_filtered_less_along_coarse_planes():
    point = np.zeros((9, 31, 31, 1), np.float32)
    point[4, 15, 15] = 1
    spread = filtered(point, GAUSSIAN, 2.0, aspect=4.0)
    z, y = np.indices(point.shape[:2]) - np.array([4, 15])[:, None, None]
    profile = spread[..., 15, 0]
    assert np.sqrt((profile * y**2).sum() / profile.sum()) == pytest.approx(2.0, rel=0.05)
    assert np.sqrt((profile * z**2).sum() / profile.sum()) == pytest.approx(0.5, rel=0.2)
    rng = np.random.default_rng(2)
    found = denoise(pairs(rng, gaussian, count=2, shape=(12, 48, 48)), pixel_size=(1.0, 0.25, 0.25))
    assert found.predict(clean_image(rng, (12, 48, 48))).shape == (12, 48, 48, 1)


def test_two_poor_channels_are_mixed_onto_one_clean_channel():
    rng = np.random.default_rng(3)
    train = []
    for _ in range(3):
        a, b = clean_image(rng), clean_image(rng)
        noisy = np.concatenate([a, b], axis=-1) + rng.normal(0, 50, (*a.shape[:2], 2))
        train.append((noisy, 2 * a - b))
    found = denoise(train)
    restored = found.predict(train[0][0])
    assert restored.shape == train[0][1].shape
    assert np.corrcoef(restored.ravel(), train[0][1].ravel())[0, 1] > 0.95


def test_an_empty_clean_image_says_nothing_about_filters():
    train = pairs(np.random.default_rng(5), gaussian, count=3)
    noise = np.random.default_rng(6).normal(100, 5, train[0][0].shape)
    with_empty, without = denoise([(noise, np.zeros_like(noise)), *train]), denoise(train)
    assert with_empty.scores == without.scores and np.isfinite(list(without.scores.values())).all()
    assert "3 training images" in with_empty.description


def test_a_time_limit_leaves_no_method_out_before_all_had_a_turn(monkeypatch):
    clock = iter(np.arange(0, 1000, 1.0))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    found = denoise(pairs(np.random.default_rng(4), gaussian, count=1), seconds=14)
    assert len(found.scores) >= 4
    assert "Not all settings tried within 14 s" in found.description


def test_a_constant_image_stays_as_it_is():
    flat = np.full((32, 32, 1), 7, np.uint16)
    for kind, settings in SETTINGS.items():
        np.testing.assert_allclose(filtered(flat, kind, settings[0]), 7)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_stack_of_one_plane_stays_a_stack(kind):
    plane = np.random.default_rng(7).random((1, 24, 20, 1))
    assert filtered(plane, kind, SETTINGS[kind][0]).shape == plane.shape
