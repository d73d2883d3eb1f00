import copy
import math
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from scipy import ndimage
from torch import nn

from zcdl_common import networks, predict, qc, session, tiles, weights
from zcdl_common.data import open_data
from zcdl_common.errors import ConfigError, RunError
from zcdl_common.export.from_run import as_run
from zcdl_common.images import find_images
from zcdl_common.models._across import with_shared_norm
from zcdl_common.models.cyclegan import CycleGanModel, Pool
from zcdl_common.models.nets.cyclegan import ResNetGenerator, field_of_view
from zcdl_common.network import DIRECTIONS, Geometry
from zcdl_common.networks.cyclegan import CycleGanConfig, facing, plan
from zcdl_common.run import open_run
from zcdl_common.task import Facts
from zcdl_common.tiles import predict_tiled, predict_whole, spread

CYCLEGAN = networks.get("cyclegan")
TINY = {"blocks": 1, "filters": 4, "batch_size": 2, "patch_size": (32, 32), "learning_rate": 1e-3}
BACKWARDS = {"direction": DIRECTIONS["target"]}


def facts_for(channels=1, targets=1):
    """Facts made by hand."""
    extra = {}
    for domain, n, offset in (("source", channels, 100.0), ("target", targets, 1000.0)):
        extra |= {
            f"{domain}_channels": tuple(f"{domain[0]}{i}" for i in range(n)),
            f"{domain}_offset": (offset,) * n,
            f"{domain}_span": (offset / 2,) * n,
            f"{domain}_pixel_size": (0.5, 0.5) if domain == "source" else (0.2, 0.2),
            f"{domain}_shapes": ((64, 64),) * (4 if domain == "source" else 3),
            f"{domain}_dtype": "uint16" if domain == "source" else "uint8",
        }
    names, size = extra["source_channels"], extra["source_pixel_size"]
    return Facts(2, names, ((64, 64),) * 4, "uint16", size, counts={"train": 4}, extra=extra)


def build(channels=1, targets=1, **params):
    """A model that is not trained, on facts made by hand."""
    return CycleGanModel(CycleGanConfig.parse({**TINY, **params}), facts_for(channels, targets))


def batch_for(model, seed=0, n=2):
    rng = np.random.default_rng(seed)
    channels = (len(model.facts.channels), len(model.maps[0].channels))
    source, target = (rng.normal(size=(n, 32, 32, c)).astype(np.float32) for c in channels)
    return {"source": source, "target": target, "seed": np.int64(seed)}


def tensors(batch):
    return (torch.from_numpy(batch[name]).movedim(-1, 1) for name in ("source", "target"))


def lively(net, seed=0):
    """Weights that keep the signal, so that differences show."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                p.normal_(0, 1.4 / math.sqrt(p[0].numel()))
    return net.eval()


def texture(*shape, seed=0):
    """Smooth noise that is everywhere alike, float32 (Y, X, 1)."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return (smooth / smooth.std()).astype(np.float32)[..., None]


# -- image pool -----------------------------------------------------------------------------------


def numbered(*values):
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def test_the_pool_fills_first_and_gives_old_images_for_about_half_of_the_new_ones():
    torch.manual_seed(0)
    pool, fresh, seen = Pool(5), 0, []
    assert torch.equal(pool.exchange(numbered(1, 2, 3)), numbered(1, 2, 3))
    assert torch.equal(pool.exchange(numbered(4, 5)), numbered(4, 5)) and len(pool.images) == 5
    for value in range(6, 406):
        (shown,) = pool.exchange(numbered(value))
        fresh += float(shown[0, 0, 0]) == value
        seen.append(float(shown[0, 0, 0]))
    assert 160 < fresh < 240 and len(pool.images) == 5
    assert len(set(seen)) == len(seen), "what is taken out makes room for the new one"


def test_the_pool_follows_the_seed_and_a_size_of_0_gives_what_it_gets():
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        pool = Pool(4)
        results.append(torch.cat([pool.exchange(numbered(i, i + 0.5)) for i in range(20)]))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    pool, images = Pool(0), numbered(1, 2)
    assert torch.equal(pool.exchange(images), images) and not pool.images


def test_state_goes_and_comes_back_bit_for_bit_with_optimisers_and_pools():
    one, two = build(pool_size=3), build(pool_size=3, seed=9)
    for seed in range(3):
        one.step(batch_for(one, seed), 0.01)
    state = one.state()
    assert state["pool/judge"].shape == (3, 1, 32, 32) and state["pool/judge"].dtype == np.float32
    two.restore(state)
    again = two.state()
    assert state.keys() == again.keys() and all(np.array_equal(state[k], again[k]) for k in state)
    for model in (one, two):
        for seed in (7, 8):
            model.step(batch_for(model, seed), 0.01)
    a, b = one.state(), two.state()
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert not np.array_equal(a["pool/judge"], state["pool/judge"])


def test_probing_memory_changes_neither_weights_nor_pools():
    model = build()
    model.step(batch_for(model), 0.01)
    before = model.state()
    assert model.fit_memory(batch_for(model, 1)) == 2
    after = model.state()
    assert before.keys() == after.keys() and all(np.array_equal(before[k], after[k]) for k in before)


# -- a step ---------------------------------------------------------------------------------------


def expected_losses(model, batch):
    """Zhu et al. 2017, each image on its own way through the networks."""
    net, back, judge, judge_back = (
        copy.deepcopy(model.networks[n]) for n in ("net", "back", "judge", "judge_back")
    )
    source, target = tensors(batch)
    fake, fake_back = net(source), back(target)
    weight, alone = model.config.cycle_weight, model.config.identity_weight
    losses = {
        "loss_real": ((judge(fake) - 1) ** 2).mean() + ((judge_back(fake_back) - 1) ** 2).mean(),
        "loss_cycle": weight * ((back(fake) - source).abs().mean() + (net(fake_back) - target).abs().mean()),
    }
    if alone and source.shape[1] == target.shape[1]:
        kept = (net(target) - target).abs().mean() + (back(source) - source).abs().mean()
        losses["loss_identity"] = weight * alone * kept
    losses["loss"] = sum(losses.values())
    losses["loss_judge"] = sum(
        (d(true) - 1).square().mean() / 2 + d(made.detach()).square().mean() / 2
        for d, true, made in ((judge, target, fake), (judge_back, source, fake_back))
    )
    parameters = [*net.parameters(), *back.parameters()]
    gradients = torch.autograd.grad(losses["loss"], parameters, retain_graph=True)
    of_judges = torch.autograd.grad(losses["loss_judge"], [*judge.parameters(), *judge_back.parameters()])
    return {k: v.item() for k, v in losses.items()}, [*gradients, *of_judges]


def close(found, expected):
    """Gradients agree; instance normalisation makes those of the biases before it zero, but for rounding."""
    for p, q in zip(found, expected, strict=True):
        torch.testing.assert_close(p, q, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("channels", "params"),
    [((1, 1), {}), ((2, 2), {"cycle_weight": 3.0, "identity_weight": 0.2}), ((3, 1), {}),
     ((1, 1), {"identity_weight": 0.0})],
)  # fmt: skip
def test_losses_and_gradients_are_those_of_separate_passes(channels, params):
    model = build(*channels, **params)
    for i, name in enumerate(("net", "back")):
        lively(model.networks[name], i)
    batch = batch_for(model)
    losses, gradients = expected_losses(model, batch)
    found = {k: v.item() for k, v in model.step(batch, 0.0).items()}
    assert found == pytest.approx(losses, rel=1e-5)
    assert ("loss_identity" in found) == (channels[0] == channels[1] and params.get("identity_weight") != 0)
    names = ("net", "back", "judge", "judge_back")
    close([p.grad for n in names for p in model.networks[n].parameters()], gradients)


def test_images_of_both_kinds_go_through_a_generator_together_as_they_do_apart():
    net = lively(ResNetGenerator(1, 1, 4, 2))
    one, other = (torch.from_numpy(texture(32, 32, seed=i)).movedim(-1, 0)[None] for i in range(2))
    with torch.no_grad():
        together = net(torch.cat([one, 50 * other]))
        torch.testing.assert_close(together, torch.cat([net(one), net(50 * other)]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [(1, 1), (3, 1), (2, 3)])
def test_parts_of_a_batch_give_the_gradients_of_the_whole(channels):
    """A part of one image among them: torch's own instance normalisation goes wrong there, see the model."""
    gradients, said = [], []
    for part in (4, 2, 1):
        model = build(*channels, batch_size=4, pool_size=0)
        for i, name in enumerate(("net", "back")):
            lively(model.networks[name], i)
        model.part = part
        said.append({k: v.item() for k, v in model.step(batch_for(model, n=4), 0.0).items()})
        gradients.append([p.grad for n in model.networks.values() for p in n.parameters()])
    for some, losses in zip(gradients[1:], said[1:], strict=True):
        assert losses == pytest.approx(said[0], rel=1e-5)
        close(some, gradients[0])


def test_all_four_networks_learn_and_frozen_layers_of_both_generators_stay():
    for freeze in ("nothing", "encoder"):
        model = build(freeze=freeze)
        before = model.state()
        model.step(batch_for(model), 0.01)
        after = model.state()
        changed = {k for k in before if k.endswith("weight") and not np.array_equal(before[k], after[k])}
        for name in ("net", "back"):
            encoder = {k for k in before if k.startswith(f"module/{name}/encoder")}
            assert bool(changed & encoder) == (freeze == "nothing")
            assert f"module/{name}/head.weight" in changed
        assert {k.split("/")[1] for k in changed} >= {"judge", "judge_back"}


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_no_pixel_beyond_the_field_of_view_changes_an_output_pixel(blocks):
    net = ResNetGenerator(1, 1, 2, blocks)
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.InstanceNorm2d | nn.ReLU):
                setattr(parent, name, nn.Identity())
    net, halo, reach = lively(net).double(), field_of_view(blocks), 0
    size = 2 * halo + 8
    for y in range(halo, halo + 4):
        x = torch.randn(1, 1, size, size, dtype=torch.float64, requires_grad=True)
        net(x)[0, 0, y, y].backward()
        where = np.flatnonzero(x.grad[0, 0].numpy().any(0))
        reach = max(reach, y - where.min(), where.max() - y)
    assert reach <= halo < reach + 8, f"reaches {reach}, halo is {halo}"


def test_a_patch_that_the_judges_cannot_look_at_is_refused():
    with pytest.raises(ConfigError, match=r"patch_size = 16 x 16.*at least 24 pixels.*Try 24 x 24"):
        plan(CycleGanConfig.parse({"patch_size": (16, 16)}), facts_for())


# -- one normalisation for all tiles --------------------------------------------------------------


def test_windows_are_the_middles_of_equal_shares_of_an_image():
    image = np.add.outer(1000 * np.arange(700.0), np.arange(900.0))[..., None]
    found = list(spread(image, Geometry((4, 4), (8, 8)), scale=lambda a: a / 2, budget=16 * 64**2))
    assert len(found) == 16 and {w.shape for w in found} == {(1, 64, 64, 1)}
    rows, columns = (
        np.unique([f(w[0, 0, 0, 0] * 2, 1000) for w in found]) for f in (np.floor_divide, np.mod)
    )
    assert list(rows + 32) == pytest.approx([87.5, 262.5, 437.5, 612.5], abs=1)
    assert list(columns + 32) == pytest.approx([112.5, 337.5, 562.5, 787.5], abs=1)
    strip = np.zeros((40, 4000, 1))
    found = list(spread(strip, Geometry((4, 4), (8, 8)), scale=lambda a: a, budget=16 * 64**2))
    assert len(found) == 16, "a strip has all of them along its length"
    (only,) = spread(np.zeros((39, 50, 1)), Geometry((4, 4), (8, 8)), scale=lambda a: a)
    assert only.shape == (1, 40, 52, 1)


def test_one_window_is_normalised_as_instance_normalisation_does():
    net = lively(ResNetGenerator(1, 2, 4, 2))
    x = torch.from_numpy(texture(64, 64)).movedim(-1, 0)[None]
    with torch.no_grad():
        torch.testing.assert_close(with_shared_norm(net, [x])(x), net(x), rtol=1e-4, atol=1e-5)
    assert all(m.running_mean is None for m in net.modules() if isinstance(m, nn.InstanceNorm2d))


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of at most 128 x 128 pixels, and windows of as many together."""
    usual = tiles.default_tile
    few = 128**2
    monkeypatch.setattr(
        tiles,
        "default_tile",
        lambda geometry, shape=None, budget=few: usual(geometry, shape, min(budget, few)),
    )


IMAGES = {
    "alike everywhere": lambda: texture(400, 404),
    "getting brighter": lambda: 0.3 * texture(400, 404) + np.linspace(0, 2, 400)[:, None, None],
    "mostly empty": lambda: np.where(np.arange(400)[:, None, None] < 130, texture(400, 404) + 2, 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("name", "differs"), [(name, 0.2 if "empty" in name else 0.1) for name in IMAGES])
def test_tiles_that_are_normalised_alike_have_no_seams_and_come_near_the_whole(name, differs, small_tiles):
    model, image = build(), IMAGES[name]().astype(np.float32)
    lively(model.net)
    (whole,) = predict_whole(model.forward, image, model.geometry)
    (apart,) = predict_tiled(model.forward, image, model.geometry)
    forward = model.across(spread(image, model.geometry, scale=lambda a: a))
    (together,) = predict_tiled(forward, image, model.geometry)
    error = [np.sqrt(np.mean((found - whole) ** 2)) / whole.std() for found in (together, apart)]
    assert error[0] < differs and error[0] < error[1] / 2
    # the same pixel, as two neighbouring tiles see it
    cut = tiles.tiles(image.shape[:2], model.geometry)
    one, other = cut[0], next(t for t in cut if t.window[1].start > 0)
    edge = one.core[1].stop
    (a,), (b,) = (forward(tiles.read(image, t.window)[None]) for t in (one, other))
    near = slice(edge - 1, edge + 1)
    a = a[0, :16, near.start : near.stop]
    b = b[0, :16, near.start - other.window[1].start : near.stop - other.window[1].start]
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(whole).max())


# -- two directions -------------------------------------------------------------------------------


def test_backwards_facts_of_both_kinds_change_places_and_change_back():
    facts = facts_for(3, 1)
    there = facing(CycleGanConfig.parse(BACKWARDS), facts)
    assert there.channels == ("t0",) and there.pixel_size == (0.2, 0.2) and there.domain == "target"
    assert there.counts == {"train": 3}, "a package says how many images of its kind were learned from"
    assert there.extra["target_channels"] == ("s0", "s1", "s2") and there.extra["source_offset"] == (1000.0,)
    assert CYCLEGAN.scale(there) == CYCLEGAN.output_scale(facts) and CYCLEGAN.output_scale(
        there
    ) == CYCLEGAN.scale(facts)
    assert facing(CycleGanConfig.parse(BACKWARDS), there) is there
    assert facing(CycleGanConfig.parse({}), there) == facts


def write_kinds(make, folder, count=5, colour=True):
    """Colour images of one kind and grey ones of another, of unequal brightness and pixel size."""
    for i in range(count):
        image, _ = make.blobs((48, 40), i)
        tinted = np.stack([image // 4, image // 8, image // 16], -1).clip(0, 255).astype(np.uint8)
        make.write(folder / "stained" / f"a_{i}.tif", tinted if colour else tinted[..., 0],
                   "YXS" if colour else "YX", pixel_size=(0.5, 0.5))  # fmt: skip
        make.write(
            folder / "grey" / f"b_{i}.tif", 20 * make.blobs((56, 44), 50 + i)[0], pixel_size=(0.2, 0.2)
        )


def begin(folder, **params):
    named = {"source": str(folder / "stained"), "target": str(folder / "grey"), "name": "run"}
    few = {"epochs": 2, "keep_every": 1, "patches_per_image": 2, "results": str(folder / "runs")}
    config = CycleGanConfig.parse({**named, **TINY, **few, **params})
    data = open_data(config, CYCLEGAN)
    return session.begin(session.prepare(CYCLEGAN, config, data)), data


@pytest.fixture(scope="module")
def kinds(make, tmp_path_factory):
    """A folder with two kinds of images, and a run that was trained on them and judged. Read only."""
    folder = tmp_path_factory.mktemp("cyclegan")
    write_kinds(make, folder)
    run, data = begin(folder)
    session.train(run, data)
    run = open_run(run.folder)
    return SimpleNamespace(folder=folder, run=run, data=data, summary=session.judge(run, lambda text: None))


def test_either_kind_has_channels_of_its_own_in_training_test_and_prediction(make, tmp_path):
    write_kinds(make, tmp_path)
    tests = {"test_source": str(tmp_path / "stained"), "test_target": str(tmp_path / "grey")}
    with pytest.raises(ConfigError, match=r"^target_channels is empty and channels = '1': .*b_0.*no such"):
        begin(tmp_path, channels=1)
    with pytest.raises(ConfigError, match=r"^target_channels = '2': .*b_0.*no such channel.*are 0"):
        begin(tmp_path, channels=1, target_channels=2)
    run, data = begin(tmp_path, channels=1, target_channels=0, **tests)
    assert len(data.split.test) == 10
    for sample in data.samples:
        whole = find_images(str(sample.source.path), "image")[0].read()
        kept = slice(1, 2) if sample.domain == "source" else slice(0, 1)
        np.testing.assert_array_equal(sample.source.read(), whole[..., kept])
    run.build().save(run.weights, "best")
    turned, _ = begin(
        tmp_path, name="turned", channels=0, target_channels="red, blue",
        source=str(tmp_path / "grey"), target=str(tmp_path / "stained"),
    )  # fmt: skip
    assert turned.facts.extra["target_channels"] == ("red", "blue") and len(turned.facts.channels) == 1
    back = turned.using(**BACKWARDS)
    back.build().save(back.weights, "best")
    for one, folder in ((run, "stained"), (run.using(**BACKWARDS), "grey"), (back, "stained")):
        written = predict.predict_folder(one, one.load(), str(tmp_path / folder), tmp_path / one.name)
        assert [w.problem for w in written] == [""] * 5
    other = session.with_use(back, back.config.changed(target_channels="0, 1, 2"))
    (written, *_) = predict.predict_folder(other, other.load(), str(tmp_path / "stained"), tmp_path / "no")
    assert "choose one channel, for example target_channels = 0" in written.problem


def test_the_field_stands_beside_the_channels():
    names = list(CycleGanConfig.fields("images"))
    assert names[names.index("channels") + 1] == "target_channels" and names[-1] == "repaired"
    assert CycleGanConfig.parse({"channels": 1}).channels_of("target")[0] == ("1",), "as before"


def test_weights_of_all_networks_lie_in_files_of_their_own(kinds):
    names = {p.name for p in kinds.run.weights.iterdir()}
    parts = ("", "_back", "_judge", "_judge_back")
    expected = {f"{which}{part}.pt" for which in ("best", "last") for part in parts}
    kept = {f"epoch_0000{n}{part}.pt" for n in (1, 2) for part in ("", "_back")}
    assert names == expected | kept
    there, back = kinds.run.load(), kinds.run.using(**BACKWARDS).load()
    for one, other in (("net", "back"), ("judge", "judge_back")):
        a, b = there.networks[one].state_dict(), back.networks[other].state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    last = kinds.run.load("last").state()
    assert all(np.array_equal(last[k], v) for k, v in there.state().items() if k.startswith("module/"))


def test_either_direction_predicts_images_of_the_other_kind_in_their_units(kinds, tmp_path):
    for params, folder, channels, low, high in (
        ({}, "grey", 3, 1_000, 20_000),
        (BACKWARDS, "stained", 1, -50, 300),
    ):
        run = kinds.run.using(**params)
        source = "stained" if folder == "grey" else "grey"
        (image, *_) = find_images(str(kinds.folder / source), "images")
        found = predict.predict(run, run.load(), image.read()).main
        assert image.info().channels == channels and found.shape[-1] == 4 - channels
        assert low < found.mean() < high
        written = predict.predict_folder(run, run.load(), str(kinds.folder / source), tmp_path / folder)
        assert [w.problem for w in written] == [""] * 5
        (wrong, *_) = predict.predict_folder(run, run.load(), str(kinds.folder / folder), tmp_path / "no")
        assert "channels, but this network was trained on" in wrong.problem


def test_the_way_back_of_one_direction_is_the_other(kinds):
    from zcdl_common.qc import opposite

    image = kinds.data.split.of("source").train[0].source.read()
    there, back = kinds.run, kinds.run.using(**BACKWARDS)
    made = predict.predict(there, there.load(), image).main
    expected = predict.predict(back, back.load(), made).main
    np.testing.assert_array_equal(opposite(there)(made).main, expected)
    assert opposite(back)(image).main.shape == made.shape


def test_a_direction_that_was_chosen_before_training_changes_nothing_of_it(kinds, monkeypatch, capsys):
    from zcdl_common import preview
    from zcdl_common.live import LiveView

    drawn = []

    class Drawing(LiveView):
        def epoch(self, moment):
            drawn.append(self.picture(moment)[0][:4])

    network, config = CYCLEGAN, kinds.run.config.changed(name="chosen", **BACKWARDS)
    prepared = session.prepare(network, config, kinds.data)
    preview.preview(prepared)
    assert "Training will take" in capsys.readouterr().out
    run = session.begin(prepared)
    session.train(run, kinds.data, [Drawing(run, kinds.data)])
    assert drawn == [b"\x89PNG"] * 2
    one, other = (r.using(direction=DIRECTIONS["source"]).load("last").state() for r in (kinds.run, run))
    assert all(np.array_equal(one[k], other[k]) for k in one)
    # going on, from a folder that says backwards
    again = open_run(run.folder)
    assert again.config.direction == DIRECTIONS["target"] and again.facts.domain == "target"
    more = session.begin(session.prepare(network, config.changed(epochs=3), kinds.data))
    session.train(more, kinds.data, [Drawing(more, kinds.data)])
    assert len(drawn) == 3 and len(open_run(run.folder).history()) == 3


def test_an_image_larger_than_memory_is_written_as_one_in_memory_is(kinds, make, small_tiles, tmp_path):
    image = np.concatenate([make.blobs((300, 150), 3)[0], np.full((300, 170), 200, np.uint16)], 1)
    make.write(tmp_path / "new" / "large.tif", 20 * image)
    run = kinds.run.using(**BACKWARDS)
    model, asked = run.load(), []
    lively(model.net)
    across = model.across
    model.across = lambda windows: across(asked.append(1) or windows)
    source = str(tmp_path / "new")
    (streamed,) = predict.predict_folder(run, model, source, tmp_path / "a", stream_above=100)
    (whole,) = predict.predict_folder(run, model, source, tmp_path / "b")
    assert "tile by tile" in streamed.note and len(asked) == 2
    assert all("one normalisation" in written.note for written in (streamed, whole))
    one, other = (find_images(str(w.outputs[0]), "written")[0].read() for w in (streamed, whole))
    assert one.shape == (300, 320, 3)
    np.testing.assert_array_equal(one, other)
    predict.predict(run, model, 20 * image[:40, :48, None])
    assert len(asked) == 2, "a single tile is normalised by itself"


def test_without_a_truth_looks_and_the_way_back_are_judged(kinds):
    metrics, folder = kinds.summary["metrics"], kinds.run.quality_control
    assert kinds.summary["n_images"] == 1 and kinds.summary["verdict"] is not None
    assert set(metrics) == {"feature_distance", "cycle_error", "disagreement", "intensity_distance"}
    assert "NaN" not in (folder / "summary.json").read_text(), "a single image is no set"
    assert (folder / "figures" / "disagreement.png").stat().st_size > 0
    assert not (folder / "figures" / "worst.png").exists()
    for params in ({}, BACKWARDS):
        page = session.report(kinds.run.using(**params))[0].read_text()
        one = "source images (48 × 40 pixels, uint8, 3 channels, pixel size 0.5 × 0.5 µm)"
        other = "target images (56 × 44 pixels, uint16, 1 channel, pixel size 0.2 × 0.2 µm)"
        assert f"The data set of {one} and {other} was divided" in page
    page = session.report(kinds.run)[0].read_text()
    assert "change when turned" in page or "image is turned" in page


# -- weights from elsewhere, export ---------------------------------------------------------------


def test_without_test_images_the_sentence_asks_for_no_truth(kinds):
    from dataclasses import replace

    bare = replace(kinds.data, split=replace(kinds.data.split, test=()))
    for params, name in (({}, "test_source"), (BACKWARDS, "test_target")):
        with pytest.raises(RunError, match=f"folder under {name}; they need no partners.*test_fraction"):
            qc.judge(kinds.run.using(**params), bare)


@pytest.fixture(scope="module")
def packages(kinds):
    """Package of either direction."""
    return [session.export(kinds.run.using(**params), say=lambda text: None) for params in ({}, BACKWARDS)]


def test_a_package_of_either_direction_opens_again_as_a_run(kinds, packages, tmp_path):
    assert [p.path.name for p in packages] == ["run.zip", "run-back.zip"], "neither takes the other's place"
    for exported, params, domain in zip(packages, ({}, BACKWARDS), ("source", "target"), strict=True):
        assert exported.tests and all(row["passed"] for row in exported.tests)
        run, again = kinds.run.using(**params), open_run(as_run(exported.path, tmp_path))
        assert again.facts.domain == domain and as_run(exported.path, tmp_path) == again.folder
        image = kinds.data.split.of(domain).train[0].source.read()
        one, other = (predict.predict(r, r.load(), image).main for r in (run, again))
        np.testing.assert_array_equal(one, other)
        turned = DIRECTIONS["target" if domain == "source" else "source"]
        with pytest.raises(
            RunError, match=f"works from {DIRECTIONS[domain]} alone, and direction = {turned}"
        ):
            again.using(direction=turned).load()


def test_the_package_asks_for_whole_images_and_says_the_direction(packages):
    for exported, direction in zip(packages, DIRECTIONS.values(), strict=True):
        with zipfile.ZipFile(exported.path) as archive:
            rdf = yaml.safe_load(archive.read("rdf.yaml"))
            words = archive.read("README.md").decode()
        assert "Instance normalisation" in words and f"works from {direction};" in words
        assert rdf["config"]["deepimagej"]["allow_tiling"] is False
        judged = direction == DIRECTIONS["source"]
        assert ("quality_control.csv" in archive.namelist()) == judged
        assert (f"Not judged in this direction, from {direction}." in words) != judged
        assert ("| feature_distance |" in words) == judged
        tables = words.split("Where it opens")[1]
        for row in exported.opens:
            if row["program"] != "BioImage Model Zoo":
                assert "whole images, no tiles: Y any multiple of 4 from 32" in row["values"], row["program"]
                assert row["values"] in tables
        assert not any("blocksize" in row["menu"] for row in exported.opens)


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_package_gives_one_generator_and_a_run_gives_all(kinds, packages, unpacked, capsys, tmp_path):
    run, _ = begin(kinds.folder, name="on", start_from=str(kinds.run.folder))
    assert weights.start(run.build(), run.config) == []
    package = as_run(packages[0].path, tmp_path) if unpacked else packages[0].path
    run, _ = begin(kinds.folder, name=f"package_{unpacked}", start_from=str(package))
    model = run.build()
    capsys.readouterr()
    weights.start(model, run.config)
    said = capsys.readouterr().out
    assert (
        "weights for the way back and the judge and the judge of the way back, which will learn anew" in said
    )
    old, new = kinds.run.load().state(), model.state()
    assert all(np.array_equal(old[k], new[k]) for k in new if k.startswith("module/net/"))


@pytest.fixture
def grey(make, tmp_path):
    """An untrained run whose kinds both have one channel, with weights to begin with."""
    write_kinds(make, tmp_path, colour=False)
    run, _ = begin(tmp_path)
    for which in ("best", "last"):
        run.build().save(run.weights, which)
    return run


def same_generator(state, name, other, part):
    keys = [k.removeprefix(f"module/{name}/") for k in state if k.startswith(f"module/{name}/")]
    return all(np.array_equal(state[f"module/{name}/{k}"], other[f"module/{part}/{k}"]) for k in keys)


def test_a_run_that_was_used_backwards_starts_each_generator_with_its_own_weights(grey, tmp_path):
    grey.using(**BACKWARDS).config.write(grey.folder / "config.yaml")
    trained = grey.load().state()
    run, _ = begin(tmp_path, name="on", start_from=str(grey.folder))
    model = run.build()
    assert weights.start(model, run.config) == []
    assert all(same_generator(model.state(), name, trained, name) for name in ("net", "back"))


def test_a_package_of_the_way_back_says_so_in_sections_4_and_5(grey, tmp_path, capsys, monkeypatch):
    from zcdl_common.notebook import Notebook

    trained = grey.load().state()
    monkeypatch.setenv("ZCDL_HEADLESS", "1")
    for params, name in (({}, "net"), (BACKWARDS, "back")):
        package = session.export(grey.using(**params), say=lambda text: None).path
        with zipfile.ZipFile(package) as archive:
            own = yaml.safe_load(archive.read("rdf.yaml"))["config"]["zcdl_common"]
        assert own["direction"] == DIRECTIONS["target" if params else "source"]
        for n, start in enumerate((package, as_run(package, tmp_path / "unpacked"))):
            run, _ = begin(tmp_path, name=f"{name}_{n}", start_from=str(start))
            nb, model = Notebook("cyclegan"), run.build()
            nb.params.update({"start_from": str(start)})
            for step in (nb.starting_weights, lambda run=run, model=model: weights.start(model, run.config)):
                capsys.readouterr()
                step()
                assert (weights.TURNED in capsys.readouterr().out) == bool(params)
            assert same_generator(model.state(), "net", trained, name)


def test_layers_of_the_way_back_are_not_frozen_as_they_were_drawn(kinds, packages):
    run, _ = begin(kinds.folder, name="still", start_from=str(packages[0].path), freeze="encoder")
    with pytest.raises(RunError, match=r"freeze = encoder.*back/encoder.*stay random.*freeze = nothing"):
        weights.start(run.build(), run.config)
    run, _ = begin(kinds.folder, name="all", start_from=str(kinds.run.folder), freeze="encoder")
    assert weights.start(run.build(), run.config) == []
