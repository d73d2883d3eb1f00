"""Images of two kinds that are no pairs: from folders to samples, to what the doctor says, to scores."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from zcdl_common import checkup, networks, session, show, unpaired
from zcdl_common.data import open_data, with_test
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.metrics.distributions import distance_to_set
from zcdl_common.networks.cyclegan import CycleGanConfig
from zcdl_common.run import open_run
from zcdl_common.samples.translate import brightfield_to_nuclei
from zcdl_common.task import Facts, Prediction, Sample
from zcdl_common.verdict import LOOKS

CYCLEGAN = networks.get("cyclegan")
TINY = {
    "blocks": 1,
    "filters": 4,
    "batch_size": 2,
    "patch_size": (32, 32),
    "epochs": 1,
    "patches_per_image": 2,
}
ROLES = ("train", "validation", "test")


@pytest.fixture
def fill(make, tmp_path):
    """Write n images of 48 x 40 into a folder; the seed decides what they show."""

    def write(folder, names, seed=0, shape=(48, 40), axes="", pixels=None):
        for i, name in enumerate(names):
            image = make.blobs(shape, seed + i)[0] if pixels is None else pixels
            make.write(tmp_path / folder / f"{name}.tif", image, axes)
        return str(tmp_path / folder)

    return write


@pytest.fixture
def opened(tmp_path):
    def open(**params):
        named = {"source": str(tmp_path / "one"), "target": str(tmp_path / "other")}
        config = CycleGanConfig.parse({**named, "results": str(tmp_path / "runs"), **TINY, **params})
        return open_data(config, CYCLEGAN), config

    return open


def names_of(split, role, domain):
    return [s.name for s in getattr(split, role) if s.domain == domain]


# -- samples --------------------------------------------------------------------------------------


def test_either_kind_is_divided_by_itself_under_names_of_its_own(fill, opened):
    fill("one", [f"cell_{i}" for i in range(6)])
    fill("other", [f"cell_{i}" for i in range(9)], 50)
    data, _ = opened()
    for domain, count in (("source", 6), ("target", 9)):
        roles = [names_of(data.split, role, domain) for role in ROLES]
        assert all(roles) and sum(map(len, roles)) == count, domain
    names = [s.name for s in data.samples]
    assert len(set(names)) == len(names) == 15
    assert all(s.name.startswith("target_") == (s.domain == "target") for s in data.samples)
    assert all(s.target is None for s in data.samples)
    note = data.split.note
    assert note.index("source: The 6 files") < note.index("target: The 9 files")
    assert opened()[0].split == data.split, "the seed decides"


def test_rows_of_either_kind_are_shown_with_type_channels_and_axes(fill, opened, capsys):
    fill("one", [f"cell_{i}" for i in range(20)])
    fill("other", [f"stain_{i}" for i in range(9)], pixels=np.zeros((48, 40, 3), "uint8"), axes="YXS")
    show.data(CYCLEGAN, opened()[0])
    shown = capsys.readouterr().out
    assert "... and 17 more" in shown and shown.count("cell_") == shown.count("stain_") == 6
    row = next(text.split() for text in shown.splitlines() if "stain_" in text)
    assert {"YXC", "3", "uint8"} <= set(row) and "YXS" not in shown


def test_groups_of_either_kind_are_never_divided(fill, opened):
    fill("one", [f"movie{m}_{i}" for m in range(4) for i in range(3)])
    fill("other", [f"movie{m}_{i}" for m in range(3) for i in range(4)], 50)
    data, _ = opened(group_by=r"movie\d+")
    for domain in ("source", "target"):
        groups = [{s.group for s in getattr(data.split, r) if s.domain == domain} for r in ROLES]
        assert all(groups) and sum(map(len, groups)) == len(set().union(*groups))


def test_test_images_of_one_name_and_size_are_partners_in_both_directions(fill, opened):
    fill("one", "abc")
    fill("other", "def", 50)
    known = {"test_source": fill("test_one", "ghi", 20), "test_target": fill("test_other", "hij", 30)}
    fill("test_other", ["i"], shape=(44, 40))
    data, _ = opened(**known)
    partners = {s.name: s.target and s.target.path for s in data.split.test}
    assert {name for name, target in partners.items() if target} == {"h", "target_h"}
    assert partners["h"].parent.name == "test_other" and partners["target_h"].parent.name == "test_one"
    assert set(partners) == {"g", "h", "i", "target_h", "target_i", "target_j"}
    assert "Of the test images, i and its partner differ in size" in data.split.note
    assert not {s.name for s in data.split.train} & set(partners)
    fill("test_other", ["g"], shape=(44, 40))
    assert "Of the test images, g (and 1 more) and its partner differ" in opened(**known)[0].split.note
    fill("other", ["a"], 50, shape=(44, 40))
    alone, _ = opened(test_source=known["test_source"])
    assert "differ in size" not in alone.split.note, "equal names in other folders are chance"
    assert names_of(alone.split, "test", "source") == ["g", "h", "i"]
    assert len(names_of(alone.split, "test", "target")) == 1, "held out, since there is no folder"


def test_frames_of_two_movies_of_one_name_are_partners_one_by_one(fill, opened, make):
    fill("one", "abc")
    fill("other", "def", 50)
    movies = [np.stack([make.blobs((48, 40), k + t)[0] for t in range(3)]) for k in (0, 10)]
    one = fill("test_one", ["m"], axes="TYX", pixels=movies[0])
    data, _ = opened(test_source=one, test_target=fill("test_other", ["m"], axes="TYX", pixels=movies[1]))
    tests = [s for s in data.split.test if s.domain == "source"]
    assert len(tests) == 3
    for t, sample in enumerate(tests):
        np.testing.assert_array_equal(sample.source.read()[..., 0], movies[0][t])
        np.testing.assert_array_equal(sample.target.read()[..., 0], movies[1][t])


def test_folders_that_will_not_do_are_named(fill, opened, tmp_path):
    fill("one", "abc")
    with pytest.raises(DataError, match="other"):
        opened()
    with pytest.raises(ConfigError, match="target is empty: this network also needs a folder of images of"):
        opened(target="")
    with pytest.raises(ConfigError, match=r"one is named twice, for the source images and for the images of"):
        opened(target=str(tmp_path / "one"))
    fill("other", "d")
    with pytest.raises(DataError, match="other holds 1 image that can be used, and 2 are needed"):
        opened()
    (tmp_path / "other" / "e.tif").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"Too few of the images can be used.*e\.tif"):
        opened()


# -- facts ----------------------------------------------------------------------------------------


def test_colour_and_grey_are_measured_apart(fill, opened, make):
    colour = np.stack([make.blobs((48, 40), 1)[0] // k for k in (4, 8, 16)], -1).astype(np.uint8)
    fill("one", "abc", axes="YXS", pixels=colour)
    fill("other", "def", 50)
    # partners of other channels are known, too
    known = {
        "test_source": fill("test_one", "gh", axes="YXS", pixels=colour),
        "test_target": fill("test_other", "gh"),
    }
    data, config = opened(**known)
    prepared = session.prepare(CYCLEGAN, config, data)
    extra = prepared.facts.extra
    assert (
        len(prepared.facts.channels) == len(extra["source_channels"]) == 3
        and len(extra["target_channels"]) == 1
    )
    scaled = CYCLEGAN.scale(prepared.facts)(colour)
    assert scaled.shape == (48, 40, 3) and np.abs(scaled).max() == pytest.approx(1, abs=0.3)
    run = session.begin(prepared)
    for facing in (run, run.using(direction="target to source")):
        for sample in data.split.train:
            learned = facing.learned_source(sample)
            assert learned.shape[-1] == (3 if sample.domain == "source" else 1)
            assert -1.3 < learned.min() < -0.5 and 0.5 < learned.max() < 1.3, sample.name


@pytest.mark.parametrize(
    ("folder", "extra", "said"),
    [("one", {"shape": (2, 48, 40), "axes": "CYX"}, "2 channels"),
     ("other", {"shape": (2, 48, 40), "axes": "CYX"}, "has other channels or dimensions than"),
     ("other", {"shape": (5, 48, 40), "axes": "ZYX"}, "has other channels or dimensions than")],
)  # fmt: skip
def test_images_of_one_folder_that_differ_are_named(fill, opened, folder, extra, said):
    fill("one", "abcd")
    fill("other", "defg", 50)
    for name in "uvwxyz":  # so many that one of them trains
        fill(folder, [name], 9, **extra)
    data, config = opened()
    with pytest.raises(DataError, match=said):
        session.prepare(CYCLEGAN, config, data)


@pytest.mark.parametrize("small", ["one", "other"])
def test_a_kind_too_small_to_be_judged_is_named_before_training(fill, opened, small, tmp_path):
    for folder, seed in (("one", 0), ("other", 50)):
        fill(folder, "abc" if folder == small else "abcdef", seed, (90, 80))
    data, config = opened()
    with pytest.raises(DataError, match=rf"{small}: one image of 90 x 80 pixels is left.*Add images, or"):
        session.prepare(CYCLEGAN, config, data)
    fill(small, "abc", 50, (90, 100))
    data, config = opened()
    assert session.prepare(CYCLEGAN, config, data).facts.ndim == 2, "several windows of one image do"


def test_planes_and_stacks_are_refused_together(fill, opened):
    fill("one", "abc")
    fill("other", "def", 50, (5, 48, 40))
    data, config = opened()
    with pytest.raises(
        DataError, match=r"source images are 2D and the images of the other kind 3D.*axes = TYX"
    ):
        session.prepare(CYCLEGAN, config, data)


# -- the doctor -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fields():
    """Bright field and fluorescence of 12 fields."""
    return [brightfield_to_nuclei(np.random.default_rng(i), (96, 96), (0.3, 0.3)) for i in range(12)]


@pytest.mark.parametrize(("shift", "told"), [(0, True), (1, False)], ids=["pairs", "other fields"])
def test_pairs_that_are_given_as_unpaired_are_noticed(fields, make, opened, tmp_path, shift, told):
    for i, (light, _) in enumerate(fields):
        make.write(tmp_path / "one" / f"f_{i:02}.tif", light)
        make.write(tmp_path / "other" / f"f_{i:02}_mask.tif", fields[(i + shift) % len(fields)][1])
    data, config = opened()
    found = [
        f for f in checkup.examine(data, CYCLEGAN, config).findings if f.code == "pairs-given-as-unpaired"
    ]
    assert bool(found) == told
    if told:
        assert "pix2pix or fnet learn more from pairs" in found[0].remedy and found[0].severity == "note"
        assert len(found[0].files) == 12, "those held out for the test, too"


@pytest.mark.parametrize(("one", "other"), [("abcdef", "ab"), ("ab", "abcdef")])
def test_a_kind_of_few_images_is_shown_beside_one_of_many(fill, opened, one, other, monkeypatch):
    shown = []
    monkeypatch.setattr(show, "figure", shown.append)
    fill("one", one)
    fill("other", other, 20)
    data, _ = opened()
    show.pairs(CYCLEGAN, data)
    (figure,) = shown
    assert len([axes for axes in figure.axes if axes.images]) == 2, "one image of either kind"


def test_a_file_that_cannot_be_read_is_one_finding_and_stops_nothing(fill, opened, tmp_path, monkeypatch):
    from zcdl_common.images import ImageRef

    fill("one", "abcd")
    fill("other", "abcd", 50)
    data, config = opened()
    read = ImageRef.read

    def fail(self):
        if self.path.name == "a.tif" and self.path.parent.name == "one":
            raise OSError("the disk is gone")
        return read(self)

    monkeypatch.setattr(ImageRef, "read", fail)
    report = checkup.examine(data, CYCLEGAN, config)
    assert [f.code for f in report.errors] == ["unreadable"] and report.total == 8


# -- scores ---------------------------------------------------------------------------------------


def held(images, domain="source"):
    made = [SimpleNamespace(read=lambda image=image: image, path=None) for image in images]
    return [Sample(str(i), str(i), one, None, domain) for i, one in enumerate(made)]


def test_scores_with_and_without_a_truth(make):
    other = [make.blobs((64, 64), i)[0][..., None].astype(np.float32) for i in range(6)]
    source = make.blobs((64, 64), 20)[0][..., None]
    extra = {"target_channels": ("c",), "target_offset": (0.0,), "target_span": (1.0,)}
    facts = Facts(2, ("c",), ((64, 64),), "uint16", extra={**extra, "source_span": (50.0,)})
    reference = unpaired.reference([*held([source]), *held(other, "target")], facts)
    assert len(reference.images) == 6 and np.array_equal(reference.images[0], other[0])

    like, unlike = other[0] + 1, np.random.default_rng(0).permutation(other[0].ravel()).reshape(64, 64, 1)
    back = {"back": source.astype(np.float32)}
    one, two = (
        unpaired.scores(None, Prediction(image, back), facts, source, reference) for image in (like, unlike)
    )
    assert set(one) == {"feature_distance", "cycle_error"} and one["cycle_error"] == 0
    lost = {"back": source.astype(np.float32) + 10}  # the range is twice the span
    missed = unpaired.scores(None, Prediction(like, lost), facts, source, reference)
    assert missed["cycle_error"] == pytest.approx(0.1)
    assert one["feature_distance"] < 1 < two["feature_distance"]
    with_truth = unpaired.scores(like, Prediction(like, back), facts, source, reference)
    assert with_truth["pearson_r"] == pytest.approx(1)
    assert with_truth["feature_distance"] == one["feature_distance"]

    sets = []
    for images in (other, [3 * image for image in other]):
        results = [Prediction(image) for image in images]
        found = unpaired.set_scores([None] * 6, results, facts, reference=reference)
        sets.append({name: score.mean for name, score in found.items()})
    assert sets[0]["intensity_distance"] == pytest.approx(0, abs=1e-6)
    assert sets[1]["intensity_distance"] > 1
    assert sets[0]["set_distance"] < 0.05 < sets[1]["set_distance"]


def test_frames_of_a_movie_are_not_what_real_images_are_measured_by(make):
    rng = np.random.default_rng(0)
    movies = [make.blobs((96, 96), i)[0][..., None].astype(np.float32) for i in range(8)]
    frames = [np.rint(image + rng.normal(0, 2, image.shape)) for image in movies for _ in range(4)]
    own = held(frames, "target")
    grouped = [replace(sample, group=f"movie{i // 4}") for i, sample in enumerate(own)]
    new = [make.blobs((96, 96), 30 + i)[0][..., None].astype(np.float32) for i in range(4)]
    facts = Facts(2, ("c",), ((96, 96),), "uint16", extra={"target_channels": ("c",)})
    alike, apart = (
        np.mean([distance_to_set(image, unpaired.reference(some, facts).domain) for image in new])
        for some in (own, grouped)
    )
    assert 0.7 < apart < 1.5 and alike > 1.5 * apart
    said = [unpaired.baseline([*held(frames), *some], facts, 0).description for some in (own, grouped)]
    assert said[0] != said[1], "the classical method is told in the same units"


def test_the_classical_method_reads_a_few_images_of_each_kind(make):
    read = []

    def sample(i, domain):
        image = make.blobs((32, 32), i)[0][..., None].astype(np.float32)
        source = SimpleNamespace(read=lambda: read.append((domain, i)) or image, path=None)
        return Sample(f"{domain}{i}", str(i), source, None, domain)

    samples = [sample(i, domain) for domain in ("source", "target") for i in range(30)]
    facts = Facts(2, ("c",), ((32, 32),), "uint16", extra={"target_channels": ("c",)})
    unpaired.baseline(samples, facts, 0)
    chosen = {domain: [i for d, i in read if d == domain] for domain in ("source", "target")}
    assert all(len(set(some)) == len(some) == 24 for some in chosen.values())
    before = list(read)
    read.clear()
    unpaired.baseline(samples, facts, 0)
    assert read == before, "the seed decides"
    read.clear()
    unpaired.baseline(samples, facts, 1)
    assert set(read) != set(before)


def test_a_kind_without_a_test_folder_keeps_what_it_held_out(fill, opened, make, tmp_path):
    for folder, seed in (("one", 0), ("other", 20), ("tried", 40)):
        fill(folder, "abcd", seed)
    params = {"test_source": str(tmp_path / "tried"), "name": "run", "results": str(tmp_path / "runs")}
    data, config = opened(**params)
    run = session.begin(session.prepare(CYCLEGAN, config, data))
    without = session.data_of(run, test=False)
    for role in ("train", "validation"):
        assert [s.name for s in getattr(without.split, role)] == [s.name for s in getattr(data.split, role)]


@pytest.fixture(scope="module")
def judged(make, tmp_path_factory):
    """A run with true partners for two of its three test images."""
    folder = tmp_path_factory.mktemp("domains")
    for part, names, seed in (
        ("one", "abcd", 0),
        ("other", "efgh", 50),
        ("t_one", "xyz", 20),
        ("t_other", "xyw", 30),
    ):
        for i, name in enumerate(names):
            make.write(folder / part / f"{name}.tif", make.blobs((48, 40), seed + i)[0])
    named = {"source": "one", "target": "other", "test_source": "t_one", "test_target": "t_other"}
    places = {k: str(folder / v) for k, v in named.items()} | {"results": str(folder / "runs"), "name": "run"}
    config = CycleGanConfig.parse({**TINY, **places})
    data = open_data(config, CYCLEGAN)
    run = session.begin(session.prepare(CYCLEGAN, config, data))
    session.train(run, data)
    run = open_run(run.folder)
    return SimpleNamespace(folder=folder, run=run, summary=session.judge(run, say=lambda text: None))


ALL = {
    "feature_distance",
    "cycle_error",
    "pearson_r",
    "psnr",
    "ssim",
    "nrmse",
    "set_distance",
    "intensity_distance",
}


def test_the_summary_holds_scores_of_images_and_of_sets(judged):
    metrics, summary = judged.summary["metrics"], judged.summary
    assert set(metrics) >= ALL and summary["primary"] == "feature_distance" and summary["n_images"] == 3
    for name in ("set_distance", "intensity_distance"):
        assert all(np.isfinite(metrics[name][who]["mean"]) for who in ("network", "classical", "input"))
        assert metrics[name]["network"]["ci95"] is None
    assert metrics["pearson_r"]["network"]["mean"] is not None, "of the images whose truth is known"


def test_the_sentence_warns_that_looking_real_proves_nothing(judged):
    assert judged.summary["sentence"].endswith(LOOKS) and "proves nothing" in LOOKS
    page = session.report(judged.run)[0].read_text()
    assert "proves nothing" in page


def test_report_and_notebook_show_the_scores(judged, capsys):
    page = session.report(judged.run)[0].read_text()
    show.judged(judged.run, judged.summary)
    said = capsys.readouterr().out
    assert "(48 × 40 pixels, uint16, 1 channel) and target images (48 × 40 pixels, uint16, 1 channel)" in page
    for words in (
        "distance from real images",
        "distance of the sets",
        "distance of the intensities",
        "cycle error",
    ):
        assert words in page and words in said, words
    assert "(energy distance of their features)" in page, "what it means stands below"
    assert "holding more than their image does" in page, "there is no target to hold more"


def test_test_folders_that_are_named_later_are_judged_in_either_direction(judged, make, tmp_path):
    for part, names, seed in (("later", "pq", 70), ("later_other", "qr", 80)):
        for i, name in enumerate(names):
            make.write(tmp_path / part / f"{name}.tif", make.blobs((48, 40), seed + i)[0])
    named = {"test_source": str(tmp_path / "later"), "test_target": str(tmp_path / "later_other")}
    run = judged.run
    data = with_test(session.data_of(run), run.config.changed(**named), CYCLEGAN)
    assert sorted(s.name for s in data.split.test) == ["p", "q", "target_q", "target_r"]
    before = (run.quality_control / "summary.json").read_text()
    for direction, images in (
        ("source to target", ["p", "q"]),
        ("target to source", ["target_q", "target_r"]),
    ):
        facing = run.using(direction=direction)
        summary = session.judge(facing, lambda text: None, run.config.changed(**named))
        table = (facing.quality_control / "metrics.csv").read_text().splitlines()[1:]
        assert [row.split(",")[0] for row in table] == images and summary["n_images"] == 2
        assert summary["direction"] == direction and f"From {direction}: " in summary["sentence"]
    back = run.folder / "quality_control" / "back"
    assert json.loads((back / "summary.json").read_text())["direction"] == "target to source"
    assert json.loads((run.quality_control / "summary.json").read_text())["direction"] == "source to target"
    assert (back / "figures" / "scores.png").exists() and (back / "maps").is_dir()
    one, other = (
        session.report(run.using(direction=d))[0].read_text()
        for d in ("source to target", "target to source")
    )
    assert "From source to target: " in one and "From target to source: " not in one
    assert (
        "From target to source: " in other and "target_q" in other and "From source to target: " not in other
    )
    alone = run.config.changed(test_source="", test_target=named["test_target"])
    summary = session.judge(run.using(direction="target to source"), lambda text: None, alone)
    assert summary["n_images"] == 2 and summary["split"].endswith("later_other, chosen after the training.")
    (run.quality_control / "summary.json").write_text(before)
    learned = run.config.changed(test_source=str(judged.folder / "one"), test_target="")
    with pytest.raises(DataError, match="an image that this network was trained with"):
        session.judge(run, lambda text: None, learned)
