import copy
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zcdl_common import kept, networks, predict, session, weights
from zcdl_common.data import open_data
from zcdl_common.errors import ConfigError
from zcdl_common.images import find_images
from zcdl_common.listeners import Kept, best_epoch
from zcdl_common.models.nets.patchgan import PatchDiscriminator
from zcdl_common.models.nets.pix2pix import UNetGenerator, field_of_view
from zcdl_common.models.pix2pix import Pix2PixModel
from zcdl_common.networks.pix2pix import Pix2PixConfig, plan
from zcdl_common.task import Facts
from zcdl_common.tiles import predict_tiled, predict_whole

PIX2PIX = networks.get("pix2pix")
TINY = {"depth": 3, "filters": 4, "batch_size": 2, "patch_size": (32, 32), "learning_rate": 1e-3}


def facts_for(channels=1, targets=1, size=64):
    """Facts made by hand; targets lie between 100 and 300."""
    names = tuple(f"t{i}" for i in range(targets))
    extra = {"target_channels": names, "target_offset": (200.0,) * targets, "target_span": (100.0,) * targets}
    channels = tuple(f"c{i}" for i in range(channels))
    return Facts(2, channels, ((size, size),), "uint16", counts={"train": 2}, extra=extra)


def build(channels=1, targets=1, **params):
    """A model that is not trained, on facts made by hand."""
    return Pix2PixModel(Pix2PixConfig.parse({**TINY, **params}), facts_for(channels, targets))


def batch_for(model, seed=0, size=32):
    rng = np.random.default_rng(seed)
    shape = (model.config.batch_size, size, size)
    channels = (len(model.facts.channels), len(model.maps[0].channels))
    source, target = (rng.normal(size=(*shape, n)).astype(np.float32) for n in channels)
    return {"source": source, "target": target, "seed": np.int64(seed)}


def on_device(batch, name):
    return torch.from_numpy(batch[name]).movedim(-1, 1)


def scramble(net):
    """Weights and batch statistics under which every path counts."""
    torch.manual_seed(1)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if "running_var" in key:
                value.uniform_(0.5, 2)
            elif value.dtype.is_floating_point:
                value.normal_(0, 0.3)
    return net.eval()


def reach(net, size, outputs):
    """Input pixels (low, high) that change an output pixel, for some of them, by gradient; linear layers."""
    found = []
    for y in outputs:
        x = torch.randn(1, 1, size, size, dtype=torch.float64, requires_grad=True)
        net(x)[0, 0, y, y].backward()
        where = np.flatnonzero(x.grad[0, 0].numpy().any(0))
        found.append((where.min(), where.max()))
    return found


def linear(net):
    """The same network without what may be silent for some pixels."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU | nn.LeakyReLU):
                setattr(parent, name, nn.Identity())
    return net.double()


# -- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_no_pixel_beyond_the_field_of_view_changes_an_output_pixel(depth):
    net = linear(scramble(UNetGenerator(1, 1, 2, depth)))
    step, halo = 2**depth, field_of_view(depth)
    middle = -(-halo // step) * step
    outputs = range(middle, middle + step, max(1, step // 8))
    found = reach(net, 2 * middle + step, outputs)
    farthest = max(max(y - low, high - y) for y, (low, high) in zip(outputs, found, strict=True))
    assert farthest <= halo < farthest + step, f"reaches {farthest}, halo is {halo}"


@pytest.mark.parametrize(("levels", "pixels"), [(3, 70), (2, 34), (1, 16)])
def test_the_judge_sees_patches_as_large_as_published(levels, pixels):
    judge = linear(scramble(PatchDiscriminator(1, 2, levels, nn.Identity)))
    size = 4 * pixels
    middle = judge(torch.zeros(1, 1, size, size, dtype=torch.float64)).shape[-1] // 2
    ((low, high),) = reach(judge, size, [middle])
    assert high - low + 1 == pixels


def test_networks_of_the_publication_are_as_large_as_published():
    def count(net):
        return sum(p.numel() for p in net.parameters())

    assert count(UNetGenerator(3, 3, 64, 8)) == pytest.approx(54.4e6, rel=2e-3)
    assert count(PatchDiscriminator(6, 64, 3, nn.BatchNorm2d)) == pytest.approx(2.77e6, rel=2e-3)


@pytest.mark.parametrize("shape", [(93, 131), (64, 65), (7, 201)])
def test_tiles_give_what_a_whole_image_of_any_size_gives(shape):
    model = build(2, 3)
    scramble(model.net)
    image = np.random.default_rng(0).normal(size=(*shape, 2)).astype(np.float32)
    (whole,) = predict_whole(model.forward, image, model.geometry)
    (tiled,) = predict_tiled(model.forward, image, model.geometry, tile=(16, 16))
    assert whole.shape == (*shape, 3) and whole.std() > 1e-3
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * np.abs(whole).max())


# -- a step ---------------------------------------------------------------------------------------


def test_losses_gradients_and_weights_of_a_step_are_those_of_plain_torch():
    model = build(2, 1, l1_weight=7.0, dropout=0.5)
    batch = batch_for(model, 3)
    net, judge = (copy.deepcopy(model.networks[name]).train() for name in ("net", "judge"))
    found = {k: float(v) for k, v in model.step(batch, 0.01).items()}

    x, y = on_device(batch, "source"), on_device(batch, "target")
    torch.manual_seed(3)
    fake = net(x)
    real = F.softplus(-judge(torch.cat([x, fake], 1))).mean()
    difference = 7 * (fake - y).abs().mean()
    of_net = torch.autograd.grad(real + difference, list(net.parameters()))
    judged = F.softplus(-judge(torch.cat([x, y], 1))).mean()
    judged = (judged + F.softplus(judge(torch.cat([x, fake.detach()], 1))).mean()) / 2
    of_judge = torch.autograd.grad(judged, list(judge.parameters()))

    expected = {"loss_real": real, "loss_difference": difference, "loss_judge": judged}
    expected["loss"] = real + difference
    assert found == pytest.approx({k: v.item() for k, v in expected.items()}, rel=1e-5)
    for name, mine, gradients in (("net", net, of_net), ("judge", judge, of_judge)):
        optimiser = torch.optim.Adam(mine.parameters(), 0.01, betas=(0.5, 0.999))
        for p, gradient in zip(mine.parameters(), gradients, strict=True):
            p.grad = gradient
        optimiser.step()
        for p, q in zip(model.networks[name].parameters(), mine.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-6)
            # the first step of Adam is the sign of a gradient: one near 0 may go either way
            clear = q.grad.abs() > 1e-4
            torch.testing.assert_close(p[clear], q[clear], rtol=1e-4, atol=1e-5)


def test_generator_and_judge_both_learn():
    model = build()
    before = model.state()
    model.step(batch_for(model), 0.01)
    after = model.state()
    for name in ("net", "judge"):
        keys = [k for k in before if k.startswith(f"module/{name}/") and k.endswith("weight")]
        assert keys and all(not np.array_equal(before[k], after[k]) for k in keys), name


def test_state_goes_and_comes_back_with_both_optimisers():
    one, two = build(), build(seed=5)
    for seed in (0, 1):
        one.step(batch_for(one, seed), 0.01)
    two.restore(one.state())
    for model in (one, two):
        model.step(batch_for(model, 2), 0.01)
    a, b = one.state(), two.state()
    assert {key.split("/")[1] for key in a if key.startswith("optimiser/")} == {"net", "judge"}
    assert a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def test_probing_memory_changes_nothing():
    model = build()
    before = model.state()
    assert model.fit_memory(batch_for(model)) == 2
    after = model.state()
    assert before.keys() == after.keys() and all(np.array_equal(before[k], after[k]) for k in before)


# -- parameters -----------------------------------------------------------------------------------


def test_the_weight_of_the_difference_is_a_factor():
    terms = [build(l1_weight=w).step(batch_for(build()), 0.0) for w in (1.0, 50.0, 0.0)]
    one, fifty, none = (float(t["loss_difference"]) for t in terms)
    assert fifty == pytest.approx(50 * one, rel=1e-4) and one > 0 == none


@pytest.mark.parametrize(("dropout", "varies"), [(0.5, True), (0.0, False)])
def test_dropout_works_in_training_alone(dropout, varies):
    model = build(dropout=dropout)
    x = torch.ones(1, 1, 32, 32)
    model.net.train()
    assert torch.equal(model.net(x), model.net(x)) != varies
    tiles = np.ones((1, 32, 32, 1), np.float32)
    assert np.array_equal(model.forward(tiles)[0], model.forward(tiles)[0])


def test_depth_and_filters_make_the_network_larger():
    small, deep, wide = build(), build(depth=4), build(filters=8)
    assert small.geometry.multiple == (8, 8) and deep.geometry.multiple == (16, 16)
    assert deep.geometry.halo[0] > small.geometry.halo[0] == wide.geometry.halo[0]
    assert small.parameters() < deep.parameters() and 3 < wide.parameters() / small.parameters() < 4.1
    judges = [sum(p.numel() for p in m.networks["judge"].parameters()) for m in (small, wide)]
    assert 3 < judges[1] / judges[0] < 4.1


def test_frozen_layers_stay_and_the_judge_learns():
    model = build(freeze="encoder")
    before = model.state()
    model.step(batch_for(model), 0.01)
    after = model.state()

    def same(part):
        return [np.array_equal(before[k], after[k]) for k in before if k.startswith(f"module/{part}")]

    assert all(same("net/encoder")), "batch statistics included"
    assert not any(same("net/head")) and not all(same("judge/"))


@pytest.mark.parametrize("depth", [2, 3])
def test_a_patch_that_the_judge_cannot_look_at_is_refused(depth):
    config = Pix2PixConfig.parse({"patch_size": (16, 16), "depth": depth})
    with pytest.raises(ConfigError, match=r"patch_size = 16 x 16.*at least 24 pixels.*Try (24 x 24|32 x 32)"):
        plan(config, facts_for())
    fits = {2: 24, 3: 24, 4: 32}[depth]
    planned = plan(Pix2PixConfig.parse({"patch_size": (fits, fits), "depth": depth}), facts_for()).config
    model = Pix2PixModel(planned.changed(filters=4, batch_size=1), facts_for())
    assert np.isfinite(float(model.step(batch_for(model, size=fits), 0.01)["loss"]))


def sized(side):
    return replace(facts_for(), shapes=((side, side),))


def test_the_depth_of_the_publication_takes_the_patch_that_it_needs():
    assert plan(Pix2PixConfig.parse({"depth": 8}), sized(1024)).config.patch_size == (512, 512)
    assert plan(Pix2PixConfig.parse({}), sized(1024)).config.patch_size == (128, 128)


@pytest.mark.parametrize("side", [100, 300])
def test_a_depth_that_images_do_not_hold_is_refused_with_one_that_they_do(side):
    with pytest.raises(ConfigError, match=r"to a single pixel.*Set depth = \d\.$") as refused:
        plan(Pix2PixConfig.parse({"depth": 8}), sized(side))
    depth = int(re.search(r"Set depth = (\d)", str(refused.value))[1])
    assert plan(Pix2PixConfig.parse({"depth": depth}), sized(side)).config.depth == depth
    small = {"depth": 5, "patch_size": (32, 32)}
    with pytest.raises(ConfigError, match=r"Set depth = 4, or patch_size = 64, 64\.$"):
        plan(Pix2PixConfig.parse(small), sized(side))


# -- weights that are kept ------------------------------------------------------------------------


def kept_epochs(listener, rows, epochs=100):
    told = []
    model = SimpleNamespace(keep=lambda folder, name: told.append(int(name.split("_")[1])))
    for n in range(1, len(rows) + 1):
        listener.epoch(SimpleNamespace(model=model, epoch=n, epochs=epochs, history=rows[:n]))
    return told


def test_weights_are_kept_at_intervals_tenths_of_the_epochs_and_of_the_time_limit(tmp_path):
    rows = [{"seconds": 4.0}] * 15
    assert kept_epochs(Kept(tmp_path, 4), rows) == [4, 8, 12]
    assert kept_epochs(Kept(tmp_path, None), rows, 30) == [3, 6, 9, 12, 15]
    assert kept_epochs(Kept(tmp_path, None), rows, 5)[:5] == [1, 2, 3, 4, 5]
    # a tenth of a minute is 6 s: the first epoch after each of 6, 12, 18 s ...
    assert kept_epochs(Kept(tmp_path, None, 1.0), rows, 1000) == [2, 3, 5, 6, 8, 9, 11, 12, 14, 15]


# -- from folders to a judgement ------------------------------------------------------------------


def write_fields(make, folder, count=6):
    """16-bit images, and targets that follow them, between about 20000 and 60000."""
    for i in range(count):
        image, mask = make.blobs((48, 40), i)
        make.write(folder / "images" / f"cell_{i}.tif", image)
        bright = 20_000 + 60 * image.astype(float) + 10_000 * (mask > 0)
        make.write(folder / "targets" / f"cell_{i}.tif", bright.clip(0, 65535).astype(np.uint16))


def begin(folder, **params):
    named = {"source": str(folder / "images"), "target": str(folder / "targets"), "name": "run"}
    few = {"epochs": 5, "keep_every": 2, "patches_per_image": 2, "results": str(folder / "runs")}
    config = Pix2PixConfig.parse({**named, **TINY, **few, **params})
    data = open_data(config, PIX2PIX)
    return session.begin(session.prepare(PIX2PIX, config, data)), data


@pytest.fixture(scope="module")
def fields(make, tmp_path_factory):
    """A folder with images and targets, and a run that was trained on them and judged. Read only."""
    folder = tmp_path_factory.mktemp("pix2pix")
    write_fields(make, folder)
    run, data = begin(folder)
    session.train(run, data)
    return SimpleNamespace(folder=folder, run=run, data=data, summary=session.judge(run, lambda text: None))


def test_the_best_epoch_is_the_one_that_correlates_best(fields):
    history = fields.run.history()
    r = [row["val_pearson_r"] for row in history]
    best = int(np.argmax(r))
    assert best_epoch(history, PIX2PIX.best) == best
    assert {"loss", "loss_real", "loss_difference", "loss_judge", "val_loss"} <= set(history[0])
    found = fields.run.load("best").validate(prepared(fields))["val_pearson_r"]
    assert found == pytest.approx(r[best], rel=1e-4)


def prepared(fields):
    from zcdl_common.patches import Memory
    from zcdl_common.training import ready

    return ready(fields.run, fields.data.split.validation, Memory(10**8))


def test_kept_weights_are_judged_and_the_model_keeps_its_own(fields):
    run = fields.run
    assert sorted(p.name for p in run.weights.glob("epoch_*")) == ["epoch_00002.pt", "epoch_00004.pt"]
    table = pd.read_csv(run.quality_control / "kept.csv")
    assert list(table["epoch"]) == [2, 4] and list(table.columns) == ["epoch", "test", "validation"]
    assert table["test"].nunique() == 2, "each row is another set of weights"
    r = {row["epoch"]: row["val_pearson_r"] for row in run.history()}
    assert list(table["validation"]) == pytest.approx([r[2], r[4]])
    assert (run.quality_control / "figures" / "kept.png").stat().st_size > 0
    model = run.load()
    before = model.state()
    image = fields.data.split.test[0].source.read()
    seen = []

    def scores(truth, found, facts, source):
        seen.append(found.main)
        return {"pearson_r": 0.5}

    kept.score(run, model, [(image, None)], scores)
    after = model.state()
    assert all(np.array_equal(before[k], after[k]) for k in before if k.startswith("module/net"))
    loaded = run.build()
    loaded.load(run.weights, "epoch_00002")
    np.testing.assert_array_equal(seen[0], predict.predict(run, loaded, image).main)


def test_a_kill_after_the_state_was_saved_loses_no_weights(fields, monkeypatch, capsys):
    from zcdl_common import checkpoint

    run, data = begin(fields.folder, name="killed", epochs=3)
    real, once = checkpoint.write, []

    def killed(folder, epoch, *state):
        real(folder, epoch, *state)
        if epoch == 2 and not once:
            once.append(epoch)
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write", killed)
    session.train(run, data)
    assert checkpoint.newest(run.folder / "checkpoint").epoch == 2
    said = capsys.readouterr().out
    session.train(run, data)
    (path,) = run.weights.glob("epoch_*")
    assert path.name == "epoch_00002.pt" and len(run.history()) == 3
    assert f"Weights are kept every 2 epochs, {path.stat().st_size / 1e6:.3g} MB each." in said


def test_an_image_without_a_score_leaves_the_others_and_none_is_asked_turned(fields):
    run, calls = fields.run.using(disagreement=True), []
    model = run.load()
    forward = model.forward
    model.forward = lambda tiles: calls.append(1) or forward(tiles)
    image = fields.data.split.test[0].source.read()
    told = iter([0.25, float("nan"), float("nan"), float("nan")])
    table = kept.score(run, model, [(image, None)] * 2, lambda *given: {"pearson_r": next(told)})
    assert table["test"][0] == 0.25 and np.isnan(table["test"][1])
    assert len(calls) == 4


def test_the_network_is_asked_in_the_orientations_that_it_learned(fields):
    run = fields.run.using(disagreement=True)
    model, calls = run.load(), []
    forward = model.forward
    model.forward = lambda tiles: calls.append(1) or forward(tiles)
    image = fields.data.split.test[0].source.read()
    for params, ways in (
        ({}, 8),
        ({"rotations": "none"}, 4),
        ({"flips": False}, 4),
        ({"flips": False, "rotations": "none"}, 0),
        ({"augment": False}, 0),
    ):
        calls.clear()
        found = predict.predict(run.using(**params), model, image, turned=True)
        assert len(calls) == 1 + ways and ("disagreement" in found.extra) == (ways > 0), params


@pytest.mark.parametrize("which", ["best", "last"])
def test_the_epoch_that_is_used_is_marked(fields, which, monkeypatch):
    from zcdl_common import plots

    marked = []
    monkeypatch.setattr(plots, "kept", lambda columns, metric, epoch: marked.append(epoch))
    monkeypatch.setattr(plots, "save", lambda figure, path: None)
    monkeypatch.setattr(kept, "best_epoch", lambda history, rule: 1)
    run = fields.run.using(weights=which)
    kept.save(run, pd.read_csv(run.quality_control / "kept.csv"))
    assert marked == [{"best": 2, "last": 5}[which]]


def test_the_report_shows_the_weights_along_the_way(fields):
    page = session.report(fields.run)[0].read_text()
    assert "pix2pix" in page and "kept" in page.lower()


def test_targets_of_16_bit_come_back_in_their_units_without_steps(fields, tmp_path):
    run, sample = fields.run, fields.data.split.train[0]
    truth = sample.target.read().astype(np.float32)
    learned = run.learned_target(sample)
    assert -1.5 < learned.min() < -0.5 and 0.5 < learned.max() < 1.5
    np.testing.assert_allclose(run.build().decode((learned,), {}).main, truth, atol=0.05)
    (written,) = predict.predict_folder(run, run.load(), str(sample.source.path), tmp_path)
    (ref,) = find_images(str(written.outputs[0]), "written")
    found = ref.read()
    assert found.dtype == np.float32 and found.shape == truth.shape
    assert 10_000 < found.mean() < 70_000 and len(np.unique(found)) > 0.9 * found.size


def test_an_earlier_run_brings_its_judge_along(fields, capsys):
    run, _ = begin(fields.folder, name="on", start_from=str(fields.run.folder))
    model = run.build()
    assert weights.start(model, run.config) == [] and capsys.readouterr().out == ""
    old, new = fields.run.load().state(), model.state()
    keys = [k for k in old if k.startswith("module/")]
    assert any(k.startswith("module/judge") for k in keys)
    assert all(np.array_equal(old[k], new[k]) for k in keys)


def test_what_does_not_fit_is_counted_and_few_names_are_shown(fields, capsys):
    run, _ = begin(fields.folder, name="deeper", start_from=str(fields.run.folder), depth=4)
    left_out = weights.start(run.build(), run.config)
    said = capsys.readouterr().out.strip()
    assert len(left_out) > 4 and len(said) < 150
    assert said.endswith(f"and {len(left_out) - 3} more.") and "weights were taken; not fitting: " in said


def test_a_package_brings_the_generator_and_the_judge_starts_anew(fields, capsys):
    exported = session.export(fields.run, say=lambda text: None)
    assert exported.tests and all(row["passed"] for row in exported.tests)
    run, data = begin(fields.folder, name="from_package", start_from=str(exported.path), epochs=1)
    model = run.build()
    scratch = model.state()
    capsys.readouterr()
    left_out = weights.start(model, run.config)
    said = capsys.readouterr().out.strip()
    assert left_out and all(name.startswith("judge/") for name in left_out)
    assert said == (
        "All weights of the network that predicts were taken. There are no weights for the judge, "
        "which will learn anew."
    )
    old, new = fields.run.load().state(), model.state()
    for key in (k for k in new if k.startswith("module/")):
        expected = old if key.startswith("module/net/") else scratch
        assert np.array_equal(new[key], expected[key]), key
    session.train(run, data)
    assert len(run.history()) == 1
    shutil.rmtree(run.folder)
