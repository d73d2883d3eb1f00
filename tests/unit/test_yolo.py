import itertools
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zcdl_common import owned, session
from zcdl_common import predict as use
from zcdl_common.boxes import Boxes, iou
from zcdl_common.boxes.table import write_csv
from zcdl_common.data import open_data
from zcdl_common.errors import ConfigError
from zcdl_common.models import _boxes, _torch
from zcdl_common.models.nets import yolo as nets
from zcdl_common.models.yolo import YoloModel
from zcdl_common.networks.yolo import DEPTHS, YOLO, YoloConfig, plan, plan_shrink
from zcdl_common.patches import Prepared
from zcdl_common.run import Run
from zcdl_common.task import Facts, Sample
from zcdl_common.tiles import predict_whole

TINY = {"patch_size": (64, 64), "batch_size": 2, "finest_grid": 8, "downscaling_in_xy": 1}
CPU = torch.device("cpu")


def facts_for(size=(96, 96), channels=1, names=("a", "b"), small=10.0, large=40.0, device="cpu", ndim=2):
    extra = {
        "class_names": names, "small_side": small, "large_extents": (large, large), "usual_size": size,
    }  # fmt: skip
    return Facts(
        ndim, tuple(f"c{i}" for i in range(channels)), (tuple(size),), "uint16",
        counts={"train": 2}, extra=extra, device=device,
    )  # fmt: skip


def build(channels=1, names=("a", "b"), large=40.0, **params):
    facts = facts_for(channels=channels, names=names, large=large)
    return YoloModel(plan(YoloConfig.parse({**TINY, **params}), facts).config, facts)


def scramble(net, seed=0, spread=0.1):
    """Weights and running statistics under which outputs differ from place to place."""
    made = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=made))
        elif name.endswith("running_mean"):
            value.copy_(spread * torch.randn(value.shape, generator=made))
    return net.eval()


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 5)


def sample(image, found):
    class Ready(Prepared):
        def read(self):
            return self.make()

    return Sample("s", "s", *(Ready(None, lambda a=a: a, None) for a in (image, found)))


def scene(size=(96, 96), seed=0, channels=1, count=4):
    """Bright rectangles on noise and their boxes, wide ones of class 1."""
    rng = np.random.default_rng(seed)
    image, rows = rng.normal(0, 0.1, (*size, channels)).astype(np.float32), []
    for _ in range(count):
        height, width = rng.integers(12, 30, 2)
        y, x = rng.integers(0, size[0] - height), rng.integers(0, size[1] - width)
        image[y : y + height, x : x + width] += 1
        rows.append((y, x, y + height, x + width, float(width > height)))
    return sample(image, boxes(*rows))


# -- the network -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finest", "shrink", "depths"),
    [(4, 1, (1, 1, 1, 1)), (8, 1, DEPTHS["nano"]), (8, 2, (1, 1, 1, 1)), (4, 2, (2, 1, 1, 1))],
)
def test_the_field_of_view_bounds_what_gradients_reach(finest, shrink, depths):
    stated = nets.field_of_view(depths, finest, shrink)
    side = 2 * stated + 64 * shrink
    side += -side % (32 * shrink)
    net = nets.YOLO(1, 1, 2, depths, finest, shrink).eval()
    for module in net.modules():  # every path counts, none cancels another
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    step = 32 * shrink
    centre = side // step // 2
    image = torch.ones(1, 1, step, side, requires_grad=True)
    sums = torch.stack(
        [m[..., int((centre + 0.5) * step / s)].sum() for m, s in zip(net(image), net.steps, strict=True)]
    )
    sums.sum().backward()
    seen = torch.nonzero(image.grad[0, 0].abs().sum(0))[:, 0]
    point = (centre + 0.5) * step
    reach = max(point - float(seen.min()), float(seen.max()) + 1 - point)
    assert seen.min() > 0 and seen.max() < side - 1, "the image is too small to see the end"
    assert reach <= stated <= 2 * reach


@pytest.mark.parametrize(("finest", "shrink"), [(4, 1), (8, 2)])
def test_maps_lie_on_their_grids_and_training_says_the_same_in_a_row(finest, shrink):
    net = scramble(nets.YOLO(3, 2, 4, (1, 1, 1, 1), finest, shrink))
    image = torch.rand(2, 3, 64 * shrink, 96 * shrink)
    maps = net(image)
    assert [m.shape[2:] for m in maps] == [(64 * shrink // s, 96 * shrink // s) for s in net.steps]
    assert all(m.shape[1] == 7 for m in maps) and net.steps[0] == finest * shrink
    net.training = True  # without its batch normalisation
    raw = net(image)
    where = _boxes.grid([m.shape[2:] for m in maps], net.steps, CPU)
    assert raw.shape == (2, 7, len(where.points))
    again = torch.cat(
        [_boxes.unread(m[1].movedim(0, -1), s) for m, s in zip(maps, net.steps, strict=True)], dim=1
    )
    assert torch.allclose(again, raw[1], atol=1e-3)
    found = _boxes.boxes_of(raw, where)
    flat = torch.cat([m.flatten(2) for m in maps], dim=2).movedim(1, 2)
    sides = torch.cat([where.points - found[..., :2], found[..., 2:] - where.points], dim=-1)
    assert torch.allclose(sides, flat[..., :4], rtol=1e-4, atol=1e-3)
    assert where.points.min() == net.steps[0] / 2
    assert where.points.amax(0).tolist() == [
        64 * shrink - finest * shrink / 2,
        96 * shrink - finest * shrink / 2,
    ]


def test_scores_are_computed_in_full_precision():
    raw = torch.full((1, 6, 1, 2), 3.0, dtype=torch.bfloat16)
    raw[..., 1] += 0.03
    one, other = nets.readable(raw, 8)[0, 5, 0]
    assert one < other


@pytest.mark.parametrize(
    ("shape", "shrink", "room"), [((481, 333), 1, 320**2), ((90, 460), 1, 96 * 300), ((130, 700), 2, 70_000)]
)
def test_tiles_give_the_boxes_of_the_whole_image(shape, shrink, room, monkeypatch):
    model = build(downscaling_in_xy=shrink, patch_size=(64 * shrink,) * 2, large=30.0)
    model.geometry = replace(model.geometry, halo=(32 * shrink,) * 2)  # it sees no neighbours
    rng = np.random.default_rng(3)
    image = rng.integers(0, 60000, (*shape, 1)).astype(np.uint16)

    def forward(tiles):
        """Maps that depend on the pixels below each point alone: boxes of up to 30 pixels."""
        made = []
        for s in model.steps:
            b, h, w, _ = tiles.shape
            cell = tiles.reshape(b, h // s, s, w // s, s)
            seen = np.stack([cell[:, :, i, :, i] for i in range(7)], axis=-1)
            made.append(np.concatenate([1 + 14 * (seen[..., :4] % 1), (seen[..., 4:] % 1) ** 6], -1))
        return tuple(made)

    model.forward = forward
    run = Run(None, YOLO, model.config, model.facts, {})
    asked = {"confidence": 0.3, "nms_iou": 0.5}
    counts = []

    def gather(pieces, *how):
        cut = list(pieces)
        counts.append(len(cut))
        return owned.gather_boxes(cut, *how)

    monkeypatch.setattr(use, "owned", SimpleNamespace(gather_boxes=gather, with_objects=owned.with_objects))
    whole = use.predict(run, model, image, asked)
    monkeypatch.setattr(use, "BOX_TILE", room)
    tiled = use.predict(run, model, image, asked)
    assert counts[0] == 1 and counts[1] > 3
    assert len(whole.main) > 30 and len(whole.extra["faint"]) > 30
    for name, scores in (("main", "scores"), ("faint", "faint_scores")):
        one = whole.main if name == "main" else whole.extra[name]
        other = tiled.main if name == "main" else tiled.extra[name]
        np.testing.assert_allclose(tiled.extra[scores], whole.extra[scores], atol=1e-6)
        np.testing.assert_allclose(other, one, atol=1e-3)


def test_tiles_of_a_real_network_give_the_maps_of_the_whole_image():
    model = build(large=1.0)
    model.kwargs |= {"base": 4, "depths": [1, 1, 1, 1]}
    model.net = scramble(nets.YOLO(**model.kwargs))
    halo = nets.field_of_view((1, 1, 1, 1), 8, 1)
    model.geometry = replace(model.geometry, halo=(halo, halo))
    run = Run(None, YOLO, model.config, model.facts, {})
    image = np.random.default_rng(0).integers(0, 4000, (70, 1210, 1)).astype(np.uint16)
    whole = use.maps(run, model, image)
    cores = []
    seen = []
    for piece, maps in use._pieces(run, model, image, 96 * 800):
        cores.append(piece.core)
        for one, all_of_it in zip(maps, whole, strict=True):
            part = piece.crop(one)
            step = -(-1210 // all_of_it.shape[1])
            start = piece.core[1].start // step
            want = all_of_it[:, start : start + part.shape[1]]
            seen.append(float(np.abs(part - want).max() / np.abs(want).max()))
    assert len(cores) > 1 and max(seen) < 1e-4
    assert np.ptp(whole[0][..., 0]) > 1e-3 * np.abs(whole[0][..., 0]).mean(), (
        "maps differ from place to place"
    )


# -- what is learned -------------------------------------------------------------------------------


def plainly(probability, found, truth, points, finest):
    """Task-aligned assignment, point by point; returns the box of each point and its strength."""
    candidates = {}
    for m, (y0, x0, y1, x1, kind) in enumerate(truth):
        if kind < 0:
            continue
        half = [max((y1 - y0) / 2, 0.501 * finest), max((x1 - x0) / 2, 0.501 * finest)]
        rows = []
        for n, (y, x) in enumerate(points):
            if abs(y - (y0 + y1) / 2) < half[0] and abs(x - (x0 + x1) / 2) < half[1]:
                u = iou(truth[m : m + 1, :4], found[n : n + 1])[0, 0]
                rows.append((probability[n, int(kind)] * u**6 + 1e-9, n, u))
        for alignment, n, u in sorted(rows, reverse=True)[:13]:
            candidates.setdefault(n, []).append((u, m, alignment))
    of = {n: max(rows, key=lambda row: (row[0], -row[1])) for n, rows in candidates.items()}
    strength = np.zeros(len(points))
    for m in range(len(truth)):
        mine = {n: (u, a) for n, (u, box, a) in of.items() if box == m}
        if mine:
            top, best = max(a for _, a in mine.values()), max(u for u, _ in mine.values())
            for n, (_, a) in mine.items():
                strength[n] = a / top * max(best, 0.05)
    return {n: row[1] for n, row in of.items()}, strength


def assigned(truth, seed=0, shapes=((12, 12), (6, 6)), steps=(8, 16), near=True):
    """What `assign` says for points that speak of about the right boxes, with what it was told."""
    rng = np.random.default_rng(seed)
    where = _boxes.grid(shapes, steps, CPU)
    points = where.points.numpy()
    sides = rng.uniform(2, 30, (len(points), 4))
    found = np.concatenate([points - sides[:, :2], points + sides[:, 2:]], axis=1).astype(np.float32)
    if near:  # half of the points speak of a true box, about
        for n, (y, x) in enumerate(points):
            real = [b for b in truth if b[4] >= 0 and b[0] < y < b[2] and b[1] < x < b[3]]
            if real and rng.random() < 0.5:
                found[n] = real[rng.integers(len(real))][:4] + rng.normal(0, 2, 4)
    probability = rng.uniform(0, 1, (len(points), 3)).astype(np.float32)
    made = _boxes.assign(*(torch.from_numpy(a)[None] for a in (probability, found, truth)), where)
    return made.of[0].numpy(), made.strength[0].numpy(), probability, found, points


@pytest.mark.parametrize("seed", range(6))
def test_points_are_assigned_as_by_the_plain_rule(seed):
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 60, (6, 2)), rng.uniform(3, 45, (6, 2))
    truth = np.column_stack([corner, corner + side, rng.integers(0, 3, 6)]).astype(np.float32)
    truth[4] = -1
    of, strength, *told, points = assigned(truth, seed)
    expected, strong = plainly(*told, truth, points, 8)
    np.testing.assert_allclose(strength, strong, atol=1e-5)
    answering = np.flatnonzero(strength > 1e-6)
    assert {int(n): int(of[n]) for n in answering} == {n: m for n, m in expected.items() if strong[n] > 1e-6}
    assert len(answering) > 10


@pytest.mark.parametrize("near", [True, False])
def test_every_box_has_a_point_that_is_taught_also_one_smaller_than_a_cell(near):
    truth = boxes(
        (0, 0, 1, 1, 1), (7.5, 7.5, 8.5, 8.5, 1), (33, 3, 35, 23, 1), (60, 60, 90, 90, 1), (93, 90, 96, 96, 1)
    )  # fmt: skip
    of, strength, *_ = assigned(truth, near=near)
    for m in range(len(truth)):
        assert strength[of == m].max() >= 0.05


def test_the_best_points_of_a_box_are_as_strong_as_they_overlap_and_fill_is_nobody():
    truth = boxes((8, 8, 40, 40, 0), (50, 50, 90, 80, 2), (-1, -1, -1, -1, -1))
    of, strength, _, found, _ = assigned(truth)
    for m in range(2):
        mine = np.flatnonzero((of == m) & (strength > 0))
        assert len(mine) <= 13
        best = iou(truth[m : m + 1, :4], found[mine])[0].max()
        assert strength[mine].max() == pytest.approx(max(best, 0.05), abs=1e-5)
    assert not strength[of == 2].any()


def test_generalised_overlap_is_that_of_its_definition():
    one, other = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 4, 2, 6], [0, 1, 2, 3], [0, 0, 2, 2]])
    assert _boxes.overlaps(one, other).tolist() == pytest.approx([0, 1 / 3, 1])
    assert _boxes.overlaps(one, other, generalised=True).tolist() == pytest.approx([-1 / 3, 1 / 3, 1])


def said_of(truth, shapes, steps, sure=6.0):
    """What a perfect network of three classes says (1, 8, N)."""
    where = _boxes.grid(shapes, steps, CPU)
    raw = torch.full((1, 8, len(where.points)), -8.0)
    raw[:, :4] = 0.0
    for y0, x0, y1, x1, kind in truth.tolist():
        for n, ((y, x), step) in enumerate(zip(where.points.tolist(), where.steps.tolist(), strict=True)):
            if y0 < y < y1 and x0 < x < x1:
                sides = torch.tensor([y - y0, x - x0, y1 - y, x1 - x]) / step
                raw[0, :4, n], raw[0, 4, n], raw[0, 5 + int(kind), n] = sides.log(), sure, sure
    return raw, where


def test_the_loss_falls_to_the_right_answer():
    truth = boxes((8, 8, 24, 40, 0), (50, 50, 62, 64, 2))
    raw, where = said_of(truth, ((12, 12), (6, 6)), (8, 16))
    wrong = raw.clone()
    wrong[:, 5:] = wrong[:, 5:].roll(1, dims=1)
    shifted = raw.clone()
    shifted[:, 0] += 0.7
    doubtful = raw.clone()
    doubtful[:, 4] = -2
    asked = torch.from_numpy(truth)[None]
    right, *others = (float(_boxes.loss(r, asked, where)) for r in (raw, wrong, shifted, doubtful))
    assert right < 0.7 and all(other > right + 0.2 for other in others)


def test_images_without_boxes_teach_silence():
    raw, where = said_of(boxes((8, 8, 24, 40, 0)), ((12, 12),), (8,))
    quiet = torch.full_like(raw, -8.0)
    for truth in (torch.zeros(1, 0, 5), torch.full((1, 3, 5), -1.0)):
        loud, silent = (float(_boxes.loss(r, truth, where)) for r in (raw, quiet))
        assert math.isfinite(loud) and silent < 0.6 < loud


def test_filling_up_with_no_boxes_changes_nothing():
    model = build(names=("a", "b", "c"))
    raw = torch.randn(2, 8, 8 * 8 + 4 * 4 + 2 * 2, generator=torch.Generator().manual_seed(0))
    truth = torch.from_numpy(np.stack([boxes((3, 3, 30, 20, 0), (20, 20, 50, 60, 2))] * 2))
    filled = torch.cat([truth, torch.full((2, 5, 5), -1.0)], dim=1)
    assert float(model.loss(raw, truth)) == pytest.approx(float(model.loss(raw, filled)), rel=1e-6)


def test_gradients_reach_every_parameter():
    model = build()
    batch = model.batch([scene(seed=s) for s in range(2)], np.random.default_rng(0))
    model.begin_step(batch, 1e-3)
    model._backward(batch, 2)
    silent = [
        name for name, p in model.net.named_parameters() if p.grad is None or not torch.any(p.grad != 0)
    ]
    assert not silent
    assert all(torch.isfinite(p.grad).all() for p in model.net.parameters())


def test_training_lowers_the_loss_and_finds_the_objects_of_one_image():
    model = build(size="nano", augment=False, learning_rate=3e-3, patch_size=(96, 96), names=("low", "wide"))
    one = scene(count=3, seed=5)
    batch = model.batch([one], np.random.default_rng(0))
    losses = [float(model.step(batch, 3e-3)["loss"]) for _ in range(100)]
    assert np.mean(losses[-5:]) < 0.3 * losses[0]
    assert model.validate([one])["val_map50"] > 0.8


# -- patches ---------------------------------------------------------------------------------------


def test_a_batch_is_a_function_of_the_random_state_alone():
    model, images = build(mosaic=0.5), [scene((100, 80), 1), scene((64, 130), 2)]
    one, two = (model.batch(images, np.random.default_rng(4)) for _ in range(2))
    assert all(np.array_equal(one[key], two[key]) for key in one)
    other = model.batch(images, np.random.default_rng(5))
    assert not np.array_equal(one["source"], other["source"])


@pytest.mark.parametrize(("mosaic", "size"), [(0.0, (96, 64)), (1.0, (64, 64))])
def test_boxes_of_patches_lie_within_them_and_fill_is_minus_one(mosaic, size):
    model = build(mosaic=mosaic, patch_size=size, scale=0.4, batch_size=8)
    images = [scene((100, 80), 1), scene((40, 130), 2, count=2), sample(np.zeros((70, 70, 1), "f4"), boxes())]
    batch = model.batch(images, np.random.default_rng(0))
    assert batch["source"].shape == (8, *size, 1) and batch["source"].dtype == np.float32
    target = batch["target"]
    real = target[..., 4] >= 0
    assert real.any() and not real.all() and (target[~real] == -1).all()
    kept = target[real]
    assert kept[:, :4].min() >= 0 and (kept[:, 2:4] <= size).all() and (kept[:, :2] < kept[:, 2:4]).all()
    assert set(kept[:, 4]) <= {0.0, 1.0}


def test_without_augmentation_patches_are_cut_as_they_are():
    model, one = build(augment=False, mosaic=1.0), scene((100, 80), 1)
    patch, found = model.patch(one, np.random.default_rng(0), [one, scene(seed=3)])
    image = one.source.read()
    places = [
        (y, x)
        for y, x in itertools.product(range(100 - 63), range(80 - 63))
        if np.array_equal(image[y : y + 64, x : x + 64], patch)
    ]
    assert len(places) == 1
    whole = one.target.read()
    for row in found:
        back = row[:4] + np.tile(places[0], 2)
        assert any(iou(back[None], w[None, :4])[0, 0] > 0.25 and w[4] == row[4] for w in whole)


def test_a_mosaic_shows_several_images():
    model = build(mosaic=1.0, flips=False, rotations="none", intensity=0.0, noise=0.0, scale=0.0)
    images = [sample(np.full((80, 80, 1), v, np.float32), boxes()) for v in (1.0, 2.0, 3.0)]
    seen = [set(np.unique(model.patch(images[0], np.random.default_rng(s), images)[0])) for s in range(5)]
    assert all(1.0 in values for values in seen) and max(map(len, seen)) == 3


def test_a_batch_of_background_alone_can_be_learned_from():
    model = build()
    empty = sample(np.random.default_rng(0).normal(size=(80, 90, 1)).astype(np.float32), boxes())
    batch = model.batch([empty], np.random.default_rng(0))
    assert np.isfinite(float(model.step(batch, 1e-3)["loss"]))
    found = model.validate([empty])
    assert np.isfinite(found["val_loss"]) and found["val_map50"] == 0


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_and_sizes_are_validated(channels):
    model = build(channels)
    images = [scene((481, 333), 1, channels), scene((64, 97), 2, channels)]
    model.step(model.batch(images, np.random.default_rng(0)), 1e-3)
    assert all(np.isfinite(v) for v in model.validate(images).values())


def test_a_large_validation_image_is_judged_on_its_middle(monkeypatch):
    from zcdl_common.models import yolo

    monkeypatch.setattr(yolo, "VALIDATE_AT_MOST", {2: (64, 64)})
    image = np.zeros((200, 101, 1), np.float32)
    image[68:132, 18:82] = 1
    shown, found = build().middle(sample(image, boxes((70, 20, 80, 30, 1), (0, 0, 10, 10, 0))))
    assert shown.shape == (64, 64, 1) and shown.all()
    assert found.tolist() == [[2, 2, 12, 12, 1]]


# -- the plan --------------------------------------------------------------------------------------


def planned(small=10.0, size=(480, 640), device="cpu", **params):
    return plan(YoloConfig.parse(params), facts_for(size, small=small, device=device)).config


@pytest.mark.parametrize(
    ("small", "shrink"), [(3, 1), (7, 1), (13, 1), (14, 2), (29, 4), (300, 16), (9999, 16)]
)
def test_images_shrink_as_far_as_small_objects_allow(small, shrink):
    assert plan_shrink(small) == shrink
    found = planned(small, (4000, 4000))
    assert found.downscaling_in_xy == shrink
    assert found.finest_grid == (4 if small / shrink < 24 else 8)


@pytest.mark.parametrize(
    ("size", "small", "patch"),
    [((480, 640), 10, (480, 512)), ((481, 333), 10, (480, 320)), ((20, 5000), 10, (32, 512)),
     ((2000, 2000), 20, (1024, 1024))],
)  # fmt: skip
def test_the_patch_is_about_an_image_and_a_multiple_of_the_coarsest_grid(size, small, patch):
    found = planned(small, size)
    assert found.patch_size == patch
    model = YoloModel(found, facts_for(size, small=small))
    assert all(side % step == 0 for side, step in zip(patch, model.geometry.multiple, strict=True))


def test_a_gpu_gets_a_larger_network_and_larger_batches():
    cpu, gpu = planned(), planned(device="gpu")
    assert (cpu.size, gpu.size) == ("nano", "small") and gpu.batch_size > cpu.batch_size
    assert gpu.epochs > cpu.epochs


def test_every_gap_is_filled_with_a_reason_and_what_is_given_stays():
    made = plan(YoloConfig(), facts_for())
    assert None not in [getattr(made.config, name) for name in made.reasons] and all(made.reasons.values())
    assert {"downscaling_in_xy", "finest_grid", "patch_size", "batch_size", "size"} <= set(made.reasons)
    given = {"finest_grid": 8, "downscaling_in_xy": 1, "size": "medium", "patch_size": (64, 96)}
    own = plan(YoloConfig.parse(given), facts_for()).config
    assert (own.finest_grid, own.size, own.patch_size) == (8, "medium", (64, 96))


def test_what_cannot_work_is_refused_in_words():
    with pytest.raises(ConfigError, match="stacks"):
        plan(YoloConfig(), facts_for((9, 64, 64), ndim=3))
    with pytest.raises(ConfigError, match=r"64 x 100.*multiples of 32.*Try 480 x 512"):
        planned(patch_size=(64, 100), downscaling_in_xy=1)
    with pytest.raises(ConfigError, match="two numbers"):
        planned(patch_size=(32, 32, 32))
    with pytest.raises(ConfigError, match="batch_size = 2"):
        planned(patch_size=(32, 32), batch_size=1, downscaling_in_xy=1)
    planned(patch_size=(32, 32), batch_size=2, downscaling_in_xy=1)


# -- every parameter -------------------------------------------------------------------------------

AUGMENTED = {
    "augment": False, "flips": False, "rotations": "none", "scale": 0.5, "intensity": 0.9, "noise": 0.5,
    "blur": 3.0, "mosaic": 1.0,
}  # fmt: skip
LEARNED = {
    "size": "small", "downscaling_in_xy": 2, "finest_grid": 4, "optimiser": "sgd", "weight_decay": 0.9,
    "learning_rate": 0.05, "batch_size": 3, "patch_size": (64, 128), "freeze": "encoder", "seed": 4,
}  # fmt: skip
ELSEWHERE = {
    "confidence": "test_the_confidence_and_overlap_of_the_user_decide",
    "nms_iou": "test_the_confidence_and_overlap_of_the_user_decide",
}


def test_every_parameter_of_its_own_is_shown_to_do_something():
    from zcdl_common.networks.unet import UNetConfig

    own = set(YoloConfig.model_fields) - set(UNetConfig.model_fields)
    assert own <= {*AUGMENTED, *LEARNED, *ELSEWHERE}
    text = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    assert all(f"def {name}(" in text for name in ELSEWHERE.values())


@pytest.mark.parametrize(("name", "value"), AUGMENTED.items())
def test_what_shapes_the_patches_changes_a_batch(name, value):
    images = [scene(seed=s) for s in range(3)]
    one, other = (build(**p).batch(images, np.random.default_rng(1)) for p in ({}, {name: value}))
    assert not np.array_equal(one["source"], other["source"])
    off = dict.fromkeys(AUGMENTED, 0.0) | {"augment": True, "flips": False, "rotations": "none"}
    plain = build(augment=False).batch(images, np.random.default_rng(1))
    if name not in ("augment", "flips", "rotations"):
        quiet = build(**off).patch(images[0], np.random.default_rng(1), images)
        assert np.array_equal(quiet[0].shape, plain["source"].shape[1:])
        only = build(**{**off, name: value}).patch(images[0], np.random.default_rng(1), images)
        assert not np.array_equal(only[0], quiet[0])
        if name in ("intensity", "noise", "blur"):
            assert np.array_equal(only[1], quiet[1])


@pytest.mark.parametrize(("name", "value"), LEARNED.items())
def test_what_shapes_learning_changes_the_weights(name, value):
    def weights(**params):
        model = build(**params)
        for seed in range(2):
            batch = model.batch([scene(seed=s) for s in range(2)], np.random.default_rng(seed))
            model.step(batch, model.config.learning_rate)
        return {k: v for k, v in model.state().items() if k.startswith("module/")}

    one, other = weights(), weights(**{name: value})
    assert one.keys() != other.keys() or any(
        one[k].shape != other[k].shape or not np.array_equal(one[k], other[k]) for k in one
    )


# -- from files ------------------------------------------------------------------------------------


@pytest.fixture
def begun(make, tmp_path):
    """From 16-bit images of mixed sizes on disk to a run with random weights."""

    def begin(sizes=((70, 90), (64, 64), (100, 65), (64, 80), (90, 90)), channels=1, count=4, **params):
        annotated = {}
        for i, size in enumerate(sizes):
            made = scene(size, i, channels, count)
            image = (1000 + 20000 * made.source.read()).clip(0, 65535).astype(np.uint16)
            axes, array = ("CYX", np.moveaxis(image, -1, 0)) if channels > 1 else ("YX", image[..., 0])
            make.write(tmp_path / "images" / f"cell_{i}.tif", array, axes=axes, pixel_size=(0.5, 0.5))
            found = made.target.read()
            annotated[f"cell_{i}.tif"] = Boxes(tuple("ab"[int(k)] for k in found[:, 4]), found[:, :4])
        (tmp_path / "boxes").mkdir(exist_ok=True)
        write_csv(tmp_path / "boxes" / "all.csv", annotated)
        named = {"source": str(tmp_path / "images"), "target": str(tmp_path / "boxes"), "name": "run"}
        tiny = {**TINY, "epochs": 1, "patches_per_image": 1, "results": str(tmp_path / "runs")}
        config = YoloConfig.parse({**named, **tiny, **params})
        data = open_data(config, YOLO)
        return session.begin(session.prepare(YOLO, config, data)), data

    return begin


def test_a_run_on_16_bit_images_of_mixed_sizes_is_judged_and_used(begun, tmp_path):
    from zcdl_common import qc

    run, data = begun(channels=2)
    session.train(run, data)
    summary = qc.judge(run, data, lambda text: None)
    assert {"map50", "map50_95", "count_off_a", "count_off_b", "f1_50"} <= set(summary["metrics"])
    assert summary["verdict"] and (run.quality_control / "figures" / "confusion.png").exists()
    written = use.predict_folder(run, run.load(), str(tmp_path / "images"), tmp_path / "out")
    assert not [w.problem for w in written if w.problem]
    assert (tmp_path / "out" / "cell_3_boxes.csv").exists() and (
        tmp_path / "out" / "boxes_coco.json"
    ).exists()


def test_one_image_is_divided_into_strips_that_each_show_objects(begun):
    run, data = begun(sizes=((420, 300),), patch_size=(32, 32), count=12)
    parts = data.split.train, data.split.validation, data.split.test
    assert [len(part) for part in parts] == [1, 1, 1] and data.gap == 32
    assert all(len(part[0].target.read()) for part in parts)
    assert len(run.facts.extra["class_names"]) == 2


def test_the_confidence_and_overlap_of_the_user_decide(begun):
    run, _ = begun()
    assert run.settings()["confidence"] == 0.5
    chosen = run.using(confidence=0.12, nms_iou=0.34).settings()
    assert (chosen["confidence"], chosen["nms_iou"]) == (0.12, 0.34)


def test_weights_of_other_classes_lend_all_but_the_last_layer():
    old, new = build(names=("a",)), build(names=("a", "b", "c"))
    left = new.start(old.state())
    assert left and all("what.2" in name for name in left)


def test_files_for_other_programs_have_a_map_a_grid(tmp_path):
    import onnxruntime

    model = build()
    scramble(model.net)
    image = np.random.default_rng(0).normal(size=(1, 64, 96, 1)).astype(np.float32)
    made = model.weights(tmp_path, image)
    ours = model.forward(image)
    x = np.ascontiguousarray(np.moveaxis(image, -1, 1))
    engine = onnxruntime.InferenceSession(str(made.files["onnx"]), providers=["CPUExecutionProvider"])
    assert [o.name for o in engine.get_outputs()] == [m.name for m in model.maps]
    traced = torch.jit.load(str(made.files["torchscript"]))(torch.from_numpy(x))
    traced = [one.detach() for one in traced]
    for mine, onnx, script in zip(ours, engine.run(None, {"raw": x}), traced, strict=True):
        np.testing.assert_allclose(np.moveaxis(onnx, 1, -1), mine, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(np.moveaxis(script.numpy(), 1, -1), mine, rtol=1e-3, atol=1e-4)
    wider = np.zeros((2, 1, 32, 64), np.float32)
    assert engine.run(None, {"raw": wider})[0].shape == (2, 7, 4, 8)


def test_a_batch_in_parts_has_about_the_gradient_of_the_whole():
    whole, parts = build(batch_size=4), build(batch_size=4)
    parts.part = 2
    batch = whole.batch([scene(seed=s) for s in range(3)], np.random.default_rng(0))
    one, two = (float(model.step(batch, 1e-3)["loss"]) for model in (whole, parts))
    assert one == pytest.approx(two, rel=0.3)


def test_maps_of_an_image_are_those_of_the_network():
    model = build()
    image = scene((64, 96)).source.read()
    maps = predict_whole(model.forward, image, model.geometry)
    with torch.no_grad():
        direct = model.net.eval()(_torch.to_device(image[None], CPU))
    for one, other in zip(maps, direct, strict=True):
        np.testing.assert_allclose(one, other[0].movedim(0, -1).numpy(), rtol=1e-4, atol=1e-5)
