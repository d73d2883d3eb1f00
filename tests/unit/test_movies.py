"""What a network of single molecules learns from: simulated frames like the real ones, or tables."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import tifffile

from zcdl_common import checkup, likeness, movies
from zcdl_common.data import open_data
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.files import sha256
from zcdl_common.images import ImageRef, find_images, movie
from zcdl_common.networks.deepstorm import DEEPSTORM, DeepStormConfig
from zcdl_common.run import data_table
from zcdl_common.samples.store import write_image, write_positions
from zcdl_common.session import prepare
from zcdl_common.smlm import positions
from zcdl_common.smlm.asked import camera_of
from zcdl_common.smlm.simulate import Simulation, frames

KNOWN = {
    "density": (0.5, 1.5), "photons": (800, 1600), "background": (10, 14), "sigma_nm": (125, 135),
}  # fmt: skip
SIZE = (0.1, 0.1)


def record(folder, names=("cell_1",), count=30, shape=(48, 40), table=True, seed=0, **simulation):
    """Movies as a camera writes them, in a folder, and what is truly in them."""
    folder.mkdir(exist_ok=True)
    plan = Simulation(**{**KNOWN, **simulation})
    known = {}
    for number, name in enumerate(names):
        counts, known[name] = frames(np.random.default_rng([seed, number]), plan, count, shape)
        write_image(folder / f"{name}.tif", counts, "TYX", SIZE)
        if table:
            write_positions(folder / f"{name}.csv", known[name], SIZE)
    return known


def config(folder, **params):
    return DeepStormConfig.parse({"source": str(folder), **params})


def opened(folder, **params):
    return open_data(config(folder, **params), DEEPSTORM)


def test_a_frame_has_the_positions_that_its_movie_has_in_it(tmp_path):
    known = record(tmp_path / "movies", ("a", "b"))
    images = find_images(str(tmp_path / "movies"), "source")
    pairing, found = positions.open_positions(images, str(tmp_path / "movies"), "target", {})
    assert len(found) == len(pairing.pairs) == 60
    for (image, _), one in zip(pairing.pairs, found, strict=True):
        truth = known[image.group]
        assert np.allclose(one.read().yx, truth.yx[truth.frame == image.frame], atol=1e-5)
        assert not one.read().frame.any()
    part = found[3].crop(((10, 30), (5, 25)))
    yx = found[3].read().yx
    inside = np.all((yx >= (10, 5)) & (yx < (30, 25)), axis=1)
    assert np.allclose(part.read().yx, yx[inside] - (10, 5))


def test_a_single_table_belongs_to_a_single_movie_whatever_their_names(tmp_path):
    record(tmp_path / "movies")
    table = tmp_path / "ground_truth.csv"
    (tmp_path / "movies" / "cell_1.csv").rename(table)
    data = opened(tmp_path / "movies", target=str(table), **KNOWN)
    assert len(data.split.test) == 30


def test_tables_of_another_movie_are_refused(tmp_path):
    record(tmp_path / "long", count=40)
    record(tmp_path / "short", count=20)
    data = opened(tmp_path / "short", target=str(tmp_path / "long"), **KNOWN)
    report = checkup.examine(data, DEEPSTORM, config(tmp_path / "short"))
    assert any("frame 40" in f.reason and "the stack has 20" in f.reason for f in report.errors)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "cell_1.tif").write_bytes((tmp_path / "long" / "cell_1.tif").read_bytes())
    with pytest.raises(DataError, match="no localisation table"):
        opened(tmp_path / "short", target=str(tmp_path / "nothing"))


def test_frames_come_one_by_one_as_each_would_alone(tmp_path):
    record(tmp_path / "movies", table=False)
    refs = find_images(str(tmp_path / "movies"), "source")
    assert all(np.array_equal(a, ref.read()) for a, ref in zip(movie(refs[4:9]), refs[4:9], strict=True))
    write_image(tmp_path / "single.tif", refs[0].read()[..., 0], "YX", SIZE)
    single = ImageRef((tmp_path / "single.tif",))
    (only,) = movie([single])
    assert np.array_equal(only, single.read())


def test_simulated_frames_train_choose_and_judge_where_nothing_is_known(tmp_path):
    record(tmp_path / "movies", table=False)
    data = opened(tmp_path / "movies", **KNOWN)
    assert [len(part) for part in (data.split.train, data.split.validation, data.split.test)] == [
        100,
        25,
        100,
    ]
    assert len(data.imitated) == 30
    assert all(sample.target is not None for sample in data.samples)
    frames_of = {
        role: {s.source.read().tobytes() for s in getattr(data.split, role)} for role in ("train", "test")
    }
    assert not frames_of["train"] & frames_of["test"], "no frame is on both sides"
    again = opened(tmp_path / "movies", **KNOWN)
    assert again.split == data.split, "what is simulated is found again"
    other = opened(tmp_path / "movies", **KNOWN, seed=1)
    assert other.split.train[0].source.path != data.split.train[0].source.path


def test_real_frames_with_known_positions_judge_in_blocks(tmp_path):
    known = record(tmp_path / "movies")
    data = opened(tmp_path / "movies", target=str(tmp_path / "movies"), **KNOWN)
    assert len(data.split.test) == 30
    assert len({sample.group for sample in data.split.test}) == 3, "ten frames a block"
    assert sum(len(s.target.read()) for s in data.split.test) == len(known["cell_1"])
    assert "30 real frames" in data.split.note


def test_of_very_many_frames_evenly_spaced_blocks_are_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(movies, "MOST_JUDGED", 30)
    record(tmp_path / "movies", count=100, shape=(24, 24))
    data = opened(tmp_path / "movies", target=str(tmp_path / "movies"), **KNOWN)
    numbers = [sample.source.frame for sample in data.split.test]
    assert numbers == [*range(10), *range(40, 50), *range(80, 90)]


def test_a_single_movie_with_a_table_is_divided_by_blocks(tmp_path):
    record(tmp_path / "movies", count=100, shape=(24, 24))
    data = opened(tmp_path / "movies", target=str(tmp_path / "movies"), learn_from="table")
    blocks = [
        {s.source.frame // 10 for s in part}
        for part in (data.split.train, data.split.validation, data.split.test)
    ]
    assert all(blocks) and sum(map(len, blocks)) == len(set.union(*blocks)) == 10
    assert not data.imitated and "expect less of another movie" in data.split.note
    with pytest.raises(ConfigError, match="no table of positions"):
        opened(tmp_path / "movies", learn_from="table")


def test_gaps_are_filled_with_what_the_frames_tell_and_given_values_stay(tmp_path):
    record(tmp_path / "movies", count=60, shape=(64, 64), table=False)
    params = {"sigma_nm": (120, 140), "photons": None}
    data = opened(tmp_path / "movies", **params)
    planned = prepare(DEEPSTORM, config(tmp_path / "movies", **params), data)
    made = planned.planned
    assert made.sigma_nm == (120, 140) and "sigma_nm" not in planned.reasons
    assert made.background[0] < 12 < made.background[1]
    assert made.photons[0] < 1130 < made.photons[1]
    assert made.density[0] < 1 < 2 * made.density[1]
    assert "measured" in planned.reasons["density"]
    assert open_data(made, DEEPSTORM).split == data.split, "the plan alone gives the same frames"
    assert likeness.compare(data, made).ok
    wrong = likeness.compare(data, made.changed(background=(60, 80)))
    assert not wrong.ok and any("background" in s.lower() for s in likeness.sentences(wrong))


def test_values_from_the_test_sheet_take_the_place_of_usual_ones():
    usual = camera_of(DeepStormConfig.parse({"camera": "emccd"}))
    given = {
        "camera_offset": 98,
        "camera_gain": 4.8,
        "em_gain": 10,
        "read_noise": 20,
        "quantum_efficiency": 0.9,
    }
    own = camera_of(DeepStormConfig.parse({"camera": "emccd", **given}))
    assert (own.offset, own.gain, own.em_gain, own.read_noise, own.quantum_efficiency) == (
        98,
        4.8,
        10,
        20,
        0.9,
    )
    assert all(getattr(usual, n.removeprefix("camera_")) != value for n, value in given.items())
    told = movies.calibration(DeepStormConfig.parse({"camera": "emccd", **given}))
    assert told["gain"] == pytest.approx(10 / 4.8) and told["read_noise"] == 2 and told["excess"] == 2


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda folder, counts: write_image(folder / "a.tif", counts, "TYX"),
            "set pixel_size|Set pixel_size",
        ),
        (lambda folder, counts: write_image(folder / "a.tif", counts, "ZYX", (0.3, 0.1, 0.1)), "axes = TYX"),
        (lambda folder, counts: write_image(folder / "a.tif", counts, "TYX", (0.1, 0.2)), "square"),
        (lambda folder, counts: write_image(folder / "a.tif", counts, "TYX", (100, 100)), "0.1 where pixels"),
        (
            lambda folder, counts: write_image(folder / "a.tif", np.stack([counts] * 2, 1), "TCYX", SIZE),
            "2 channels .* channels = 0",
        ),
        (
            lambda folder, counts: [
                write_image(folder / f"{name}.tif", counts, "TYX", (side, side))
                for name, side in {"a": 0.1, "b": 0.16}.items()
            ],
            "a.tif are 100 nm wide, those of b.tif 160 nm",
        ),
    ],
)
@pytest.mark.parametrize("learn_from", ["simulation", "table"])
def test_frames_that_cannot_be_measured_are_refused_with_what_to_type(tmp_path, write, said, learn_from):
    counts, _ = frames(np.random.default_rng(0), Simulation(**KNOWN), 20, (32, 32))
    write(tmp_path, counts)
    with pytest.raises(DataError, match=said):
        opened(tmp_path, learn_from=learn_from)


def test_large_frames_are_measured_where_most_changes(tmp_path):
    counts, _ = frames(np.random.default_rng(0), Simulation(**KNOWN), 16, (64, 64))
    quiet = np.random.default_rng(1).poisson(100, (16, 300, 320)).astype(np.uint16)
    quiet[:, 220:284, 200:264] = counts
    write_image(tmp_path / "a.tif", quiet, "TYX", SIZE)
    samples = [movies.Sample(ref.name, ref.group, ref) for ref in find_images(str(tmp_path), "source")]
    part = movies.excerpt(samples)
    assert part.shape == (16, 256, 256)
    assert any(
        np.array_equal(part[:, y : y + 64, x : x + 64], counts)
        for y in range(192)
        for x in range(192)
        if part[0, y, x] == counts[0, 0, 0]
    )


def test_one_movie_is_measured_since_others_have_their_molecules_elsewhere(tmp_path):
    record(tmp_path, ("long",), count=24)
    record(tmp_path, ("a", "b"), count=20, seed=3)
    samples = [movies.Sample(ref.name, ref.group, ref) for ref in find_images(str(tmp_path), "source")]
    assert np.array_equal(movies.excerpt(samples), tifffile.imread(tmp_path / "long.tif"))


def test_what_is_written_is_kept_where_other_examples_are(tmp_path):
    record(tmp_path / "movies", table=False)
    data = opened(tmp_path / "movies", **KNOWN)
    folder = data.split.train[0].source.path.parents[1]
    assert (folder / movies.PLAN).exists() and folder.parent == movies.default_cache()
    assert Path(data.split.train[0].target.path).suffix == ".csv"


def test_a_table_is_checked_once_and_not_for_every_frame(tmp_path, monkeypatch):
    record(tmp_path / "good", count=60, shape=(24, 24))
    record(tmp_path / "bad", names=("cell_1", "cell_2"), count=60, shape=(24, 24))
    (tmp_path / "bad" / "cell_2.csv").write_text("frame,x [nm],y [nm]\n61,100,100\n")
    read, asked = positions.Positions.read, []
    monkeypatch.setattr(positions.Positions, "read", lambda self: asked.append(self) or read(self))
    monkeypatch.setattr("zcdl_common.doctor.examine.MOST_READ", 5)
    for folder, wrong in (("good", 0), ("bad", 1)):
        place = tmp_path / folder
        data = opened(place, target=str(place), **KNOWN)
        asked.clear()
        report = checkup.examine(data, DEEPSTORM, config(place))
        assert len(report.errors) == wrong and len(asked) <= 7


def test_frames_too_small_to_be_measured_can_be_used_with_values_by_hand(tmp_path):
    record(tmp_path, count=8, shape=(16, 20), table=False)
    with pytest.raises(DataError, match=r"8 x 16 x 20 .* set density, photons, background and sigma_nm"):
        opened(tmp_path)
    data = opened(tmp_path, **KNOWN)
    planned = prepare(DEEPSTORM, config(tmp_path, **KNOWN), data).planned
    found = likeness.compare(data, planned)
    assert not found.ok and "Nothing can be compared" in likeness.sentences(found)[0]


def test_simulated_files_that_are_gone_come_back_the_same(tmp_path):
    record(tmp_path, table=False)
    data = opened(tmp_path, **KNOWN)
    folder = data.split.train[0].source.path.parents[1]
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
    for path in folder.rglob("*.*"):
        path.unlink()
    assert opened(tmp_path, **KNOWN).split == data.split
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")} == before


def test_an_offset_above_the_light_and_a_gain_that_the_camera_lacks_are_refused(tmp_path):
    record(tmp_path / "movies", table=False)
    with pytest.raises(ConfigError, match=r"camera_offset = 980 .* half of the pixels are darker"):
        opened(tmp_path / "movies", camera_offset=980)
    with pytest.raises(ConfigError, match=r"em_gain = 300, but camera = scmos .* Set camera to emccd"):
        opened(tmp_path / "movies", em_gain=300)


def test_the_movies_that_were_imitated_stand_in_the_record(tmp_path):
    record(tmp_path / "movies", ("a", "b"), table=False)
    data = opened(tmp_path / "movies", **KNOWN)
    rows = list(csv.DictReader(io.StringIO(data_table(data))))
    assert [(r["name"], r["role"]) for r in rows[:2]] == [("a", "imitated"), ("b", "imitated")]
    assert rows[0]["sha256"] == sha256(tmp_path / "movies" / "a.tif")
    assert {r["role"] for r in rows[2:]} == {"train", "validation", "test"}
