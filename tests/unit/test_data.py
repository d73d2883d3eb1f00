from itertools import pairwise

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from zcdl_common import datasets, networks, session, show
from zcdl_common.data import open_data, strips
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.measure import measure
from zcdl_common.networks.unet import UNetConfig
from zcdl_common.rois import write_rois
from zcdl_common.split import by_group
from zcdl_common.task import Sample

UNET = networks.get("unet")


def opened(folder, **params):
    named = {"source": str(folder / "images"), "target": str(folder / "masks")}
    return open_data(UNetConfig.parse({**named, **params}), UNET)


def roles(data):
    return {s.name: r for r in ("train", "validation", "test") for s in getattr(data.split, r)}


@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=60).filter(lambda g: len(set(g)) > 1),
    st.floats(0, 0.5), st.floats(0.01, 0.5), st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_a_split_never_divides_a_group_and_loses_nothing(groups, test, validation, seed):
    samples = [Sample(f"s{i}", f"g{g}", None) for i, g in enumerate(groups)]
    config = UNetConfig.parse({"test_fraction": test, "validation_fraction": validation, "seed": seed})
    split = by_group(samples, config)
    parts = [split.train, split.validation, split.test]
    assert sorted(s.name for part in parts for s in part) == sorted(s.name for s in samples)
    found = [{s.group for s in part} for part in parts]
    assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
    assert split.train and split.validation
    assert bool(split.test) == (test > 0 and len(set(groups)) > 2)
    assert by_group(samples[::-1], config).train == tuple(reversed(split.train)), "order of files matters"


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 0), (0.1, 2), (0.5, 10)])
def test_fractions_are_shares_of_the_files(fraction, expected):
    samples = [Sample(f"s{i}", f"s{i}", None) for i in range(20)]
    split = by_group(samples, UNetConfig.parse({"test_fraction": fraction}))
    assert len(split.test) == expected
    split = by_group(samples, UNetConfig.parse({"test_fraction": 0.0, "validation_fraction": 0.25}))
    assert len(split.validation) == 5


def test_roles_follow_the_seed_alone(make, tmp_path):
    make.pairs(tmp_path, 12)
    assert roles(opened(tmp_path)) == roles(opened(tmp_path))
    assert any(roles(opened(tmp_path)) != roles(opened(tmp_path, seed=s)) for s in (1, 2, 3))


def test_one_group_cannot_be_divided(make, tmp_path):
    make.pairs(tmp_path, 3)
    with pytest.raises(DataError, match=r"one group .*group_by"):
        opened(tmp_path, group_by="cell")


def test_group_by_keeps_files_of_one_well_together(make, tmp_path):
    make.pairs(tmp_path, 9)
    for kind in ("images", "masks"):
        for i in range(9):
            (tmp_path / kind / f"cell_{i}.tif").rename(tmp_path / kind / f"well{i // 3}_site{i}.tif")
    found = roles(opened(tmp_path, group_by=r"well\d"))
    assert len(found) == 9
    assert all(len({r for n, r in found.items() if n.startswith(f"well{w}")}) == 1 for w in range(3))


def test_frames_of_a_movie_are_one_group_and_find_their_masks(make, tmp_path):
    for m in range(3):
        frames = [make.blobs((32, 40), 10 * m + t) for t in range(4)]
        make.write(tmp_path / "images" / f"movie{m}.tif", np.stack([f[0] for f in frames]), "TYX")
        make.write(tmp_path / "masks" / f"movie{m}.tif", np.stack([f[1] for f in frames]), "TYX")
    data = opened(tmp_path)
    assert len(data.samples) == 12
    for part in (data.split.train, data.split.validation, data.split.test):
        assert len({s.group for s in part}) == 1 and len(part) == 4
    facts = measure(data, UNetConfig(), UNET, "cpu")
    for sample in data.samples:
        m, t = int(sample.group[-1]), int(sample.name[-3:])
        mask = make.blobs((32, 40), 10 * m + t)[1]
        assert np.array_equal(UNET.task.read_target(sample, facts), mask > 0)


def test_frames_of_one_movie_are_called_frames_and_numbered(make, tmp_path, capsys):
    frames = np.stack([make.blobs((64, 64), t)[0] for t in range(5)])
    make.write(tmp_path / "images" / "movie.tif", frames, "TYX")
    network = networks.get("noise2void")
    data = open_data(network.Config(source=str(tmp_path / "images")), network)
    assert "The 5 frames were divided" in data.split.note
    show.data(network, data)
    shown = capsys.readouterr().out
    assert all(shown.count(f"movie.tif, frame {t}") == 1 for t in range(5))


def test_masks_drawn_as_imagej_regions_train_like_mask_images(make, tmp_path):
    from skimage.measure import label

    make.pairs(tmp_path)
    (tmp_path / "rois").mkdir()
    for path in (tmp_path / "masks").iterdir():
        write_rois(tmp_path / "rois" / f"{path.stem}_RoiSet.zip", label(tifffile.imread(path) > 0))
    drawn = opened(tmp_path, target=str(tmp_path / "rois"))
    painted = opened(tmp_path)
    assert roles(drawn) == roles(painted)
    a, b = (measure(d, UNetConfig(), UNET, "cpu") for d in (drawn, painted))
    assert len(a.classes) == len(b.classes) == 2
    for one, other in zip(drawn.samples, painted.samples, strict=True):
        assert np.array_equal(UNET.task.read_target(one, a), UNET.task.read_target(other, b))
    runs = [
        make.train(tmp_path, tmp_path / f"runs_{n}", target=str(tmp_path / n), epochs=1)[0]
        for n in ("rois", "masks")
    ]
    losses = [run.history()[0]["val_loss"] for run in runs]
    assert losses[0] == losses[1]


def test_several_folders_are_channels(make, tmp_path):
    make.pairs(tmp_path)
    for path in (tmp_path / "images").iterdir():
        make.write(tmp_path / "actin" / path.name, 3 * tifffile.imread(path))
    both = f"{tmp_path / 'images'} ; {tmp_path / 'actin'}"
    data = opened(tmp_path, source=both)
    facts = measure(data, UNetConfig(), UNET, "cpu")
    assert facts.channels == ("images", "actin")
    image = data.samples[0].source.read()
    assert np.array_equal(image[..., 1], 3 * image[..., 0])
    assert measure(opened(tmp_path, source=both, channels="actin"), UNetConfig(), UNET, "cpu").channels == (
        "actin",
    )


def test_a_test_folder_replaces_the_held_out_images(make, tmp_path):
    make.pairs(tmp_path)
    source, target = make.pairs(tmp_path / "test", 2, first=20)
    data = opened(tmp_path, test_source=str(source), test_target=str(target))
    assert [s.name for s in data.split.test] == ["cell_20", "cell_21"]
    assert len(data.split.train) + len(data.split.validation) == 6
    assert "folder of their own (2)" in data.split.note


@given(st.integers(112, 600), st.integers(64, 600), st.booleans(), st.sampled_from([None, 16, 32]))
@settings(max_examples=40, deadline=None)
def test_strips_keep_a_gap_and_stay_inside(tmp_path_factory, length, width, has_test, patch):
    folder = tmp_path_factory.getbasetemp() / "strips"
    path = folder / f"{length}_{width}.tif"
    folder.mkdir(exist_ok=True)
    if not path.exists():
        tifffile.imwrite(path, np.zeros((length, width), np.uint8))
    from zcdl_common.images import find_images

    ref = find_images(str(path), "source")[0]
    config = UNetConfig.parse({"patch_size": (patch, patch)} if patch else {})
    try:
        split, gap = strips(Sample("one", "one", ref), config, has_test)
    except DataError as error:
        assert "too small" in str(error) and max(length, width) < 64 + 2 * max(
            gap_of(length, width), patch or 0
        )
        return
    axis = int(width > length)
    spans = [s.source.region[axis] for s in split.train + split.validation + split.test]
    assert len(spans) == (2 if has_test else 3)
    assert all(b - a >= gap for (_, a), (b, _) in pairwise(spans))
    assert spans[0][0] >= 0 and spans[-1][1] <= max(length, width)
    assert all(stop - start >= 8 for start, stop in spans)
    assert spans[0][1] - spans[0][0] > spans[1][1] - spans[1][0]
    assert gap == patch or patch is None


def gap_of(length, width):
    return 2 ** int(np.log2(max(max(length, width) // 8, 8)))


def test_a_single_image_that_is_too_small_says_so(make, tmp_path):
    make.pairs(tmp_path, 1, (48, 40))
    with pytest.raises(DataError, match=r"one image only .*48 pixels long.*patch_size"):
        opened(tmp_path)


def test_a_single_image_is_divided_the_same_way_when_its_run_is_opened_again(make, tmp_path):
    make.pairs(tmp_path, 1, (3200, 40))
    run, data = make.begin(tmp_path, patch_size=None)
    assert run.config.patch_size[0] < data.gap, "the case in which the gap cannot be derived again"
    again = session.data_of(run)
    assert [s.source.region for s in again.samples] == [s.source.region for s in data.samples]
    assert run.facts.extra["gap"] == data.gap


def test_targets_of_strips_are_cut_like_their_images(make, tmp_path):
    make.pairs(tmp_path, 1, (40, 400))
    image, mask = make.blobs((40, 400), 0)
    data = opened(tmp_path)
    facts = measure(data, UNetConfig(), UNET, "cpu")
    for sample in data.samples:
        (a, b), (c, d) = sample.source.region
        assert np.array_equal(sample.source.read()[..., 0], image[a:b, c:d])
        assert np.array_equal(UNET.task.read_target(sample, facts), mask[a:b, c:d] > 0)


def test_facts_are_those_of_the_training_images(make, tmp_path):
    make.pairs(tmp_path, 6, (8, 32, 24), classes=2, pixel_size=(1.0, 0.25, 0.25))
    data = opened(tmp_path)
    facts = measure(data, UNetConfig(), UNET, "cpu")
    assert (facts.ndim, facts.dtype, facts.classes) == (3, "uint16", (0, 1, 2))
    assert facts.pixel_size == pytest.approx((1.0, 0.25, 0.25))
    assert facts.shapes == ((8, 32, 24),) * len(data.split.train)
    assert facts.counts == {"train": 4, "validation": 1, "test": 1}
    masks = np.stack([s.target.read() for s in data.split.train])
    for value, share in facts.extra["class_shares"].items():
        assert share == pytest.approx((masks == value).mean())


def test_a_pixel_size_that_is_given_wins(make, tmp_path):
    make.pairs(tmp_path, 4, (8, 32, 24), pixel_size=(1.0, 0.25, 0.25))
    config = UNetConfig.parse({"pixel_size": "2, 0.5, 0.5"})
    data = opened(tmp_path, pixel_size="2, 0.5, 0.5")
    assert measure(data, config, UNET, "cpu").pixel_size == (2.0, 0.5, 0.5)


def test_numbers_in_masks_are_objects_or_classes_as_the_user_says(make, tmp_path):
    from skimage.measure import label

    make.pairs(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        make.write(path, label(tifffile.imread(path) > 0).astype(np.uint8))
    data = opened(tmp_path)
    assert measure(data, UNetConfig.parse({"masks_are": "objects"}), UNET, "cpu").classes == (0, 1)
    found = measure(data, UNetConfig.parse({"masks_are": "classes"}), UNET, "cpu").classes
    assert len(found) == 1 + max(int(s.target.read().max()) for s in data.split.train)


def test_two_classes_in_every_image_are_classes_even_in_one_piece_each(make, tmp_path):
    make.pairs(tmp_path, 6)
    cell = np.zeros((48, 40), np.uint8)
    cell[8:40, 8:32] = 1  # one cell body ...
    cell[18:30, 14:26] = 2  # ... around one nucleus, as in crops of single cells
    for path in (tmp_path / "masks").iterdir():
        make.write(path, cell)
    assert measure(opened(tmp_path), UNetConfig(), UNET, "cpu").classes == (0, 1, 2)


def test_neither_folders_nor_a_data_set_is_refused():
    with pytest.raises(ConfigError, match="section 2"):
        open_data(UNetConfig(), UNET)
    with pytest.raises(ConfigError, match=r"target is empty.*masks"):
        open_data(UNetConfig.parse({"source": "."}), UNET)


def test_pixel_sizes_that_differ_in_rounding_are_one(make, tmp_path):
    for i, size in enumerate(
        [(1.0, 0.25, 0.25), (1.0, 0.25, 0.25), (1.001, 0.2501, 0.25), (1.0, 0.2499, 0.25)]
    ):
        make.pairs(tmp_path, 1, (8, 32, 32), pixel_size=size, first=i)
    config = UNetConfig.parse({"axes": "ZYX"})
    facts = measure(opened(tmp_path), config, UNET, "cpu")
    assert facts.pixel_size == pytest.approx((1.0, 0.25, 0.25), rel=0.01)
    make.pairs(tmp_path, 1, (8, 32, 32), pixel_size=(2.0, 0.25, 0.25), first=9)
    assert measure(opened(tmp_path, test_fraction=0), config, UNET, "cpu").pixel_size is None


def test_test_images_without_their_targets_are_refused_before_training(make, tmp_path):
    make.pairs(tmp_path)
    with pytest.raises(ConfigError, match="test_target is empty"):
        opened(tmp_path, test_source=str(make.pairs(tmp_path / "test", 2)[0]))


def strips_of(tmp_path, image, mask):
    for side, pixels in (("images", image), ("masks", mask)):
        (tmp_path / side).mkdir(parents=True)
        tifffile.imwrite(tmp_path / side / "one.tif", pixels)
    return opened(tmp_path)


@pytest.mark.parametrize(
    ("rows", "axis", "spans"),
    [
        ((0, 256), 0, [(0, 112), (144, 168), (200, 240)]),
        ((20, 200), 0, [(144, 256), (88, 112), (16, 56)]),
        ((100, 140), 1, [(0, 112), (144, 168), (200, 240)]),
    ],
    ids=["everywhere", "not below: in the opposite order", "in the middle: along the other side"],
)
def test_strips_are_cut_such_that_each_shows_objects(tmp_path, rows, axis, spans):
    mask = np.zeros((256, 256), np.uint16)
    mask[slice(*rows)] = 1
    data = strips_of(tmp_path, np.random.default_rng(0).integers(0, 99, (256, 256), np.uint16), mask)
    assert f"along {'YX'[axis]}" in data.split.note
    assert [s.source.region[axis] for s in data.samples] == spans
    assert all(s.target.read().any() for s in data.samples)


def test_a_data_set_for_another_network_is_refused_and_the_example_is_one_for_this(tmp_path):
    for name in ("care", "stardist", "unet", "noise2void"):
        network = networks.get(name)
        with pytest.raises(ConfigError, match="No images are chosen") as error:
            open_data(network.Config(), network)
        example = str(error.value).rpartition(" = ")[2].rstrip(".")
        assert name in datasets.find(example).networks
    care = networks.get("care")
    with pytest.raises(ConfigError, match=r"nuclei_2d is no data set for care.* sim_restore_2d"):
        open_data(care.Config.parse({"dataset": "nuclei_2d"}), care)
