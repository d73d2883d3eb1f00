"""Labels are read as objects or refused with the remedy; what is found of them is written for Fiji."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from held import Held
from scipy import ndimage
from skimage.measure import label
from stardist import calculate_extents

from zcdl_common import labelling
from zcdl_common import predict as use
from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef
from zcdl_common.masks import Mask
from zcdl_common.metrics.instances import scores
from zcdl_common.networks.tasks import INSTANCES
from zcdl_common.rois import read_rois, write_rois
from zcdl_common.samples.instances import nuclei
from zcdl_common.task import Facts, Prediction, Sample, Task, resolve
from zcdl_common.writers import write_image


def sample(labels, name="a", source=None, ndim=2):
    source = np.zeros((*labels.shape[:ndim], 1)) if source is None else source
    return Sample(name, name, Held(source, f"{name}.tif"), Held(labels, f"{name}_label.tif"))


def labels_of(seed, shape=(96, 100), pixel_size=(0.5, 0.5)):
    return nuclei(np.random.default_rng(seed), shape, pixel_size)


def facts_of(samples, ndim=2, **known):
    extra = labelling.label_facts(samples, None)["extra"]
    return Facts(ndim, ("DNA",), (), "uint16", extra=extra, **known)


def test_objects_are_numbered_in_the_order_of_the_file():
    array = np.array([[0, 70_000, 3], [9, 0, 3]], np.uint32)
    found = labelling.label_image(sample(array))
    assert found.dtype == np.int32 and found.tolist() == [[0, 3, 1], [2, 0, 1]]


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.pad(np.ones((4, 4, 1), np.uint8) * [9, 0, 3], ((2, 2), (2, 2), (0, 0))), "colour picture"),
        (np.array([[0.0, 0.5]]), "fractions"),
        (np.array([[0, -1, 2]]), "negative"),
    ],
)
def test_pictures_fractions_and_negative_numbers_are_refused_with_the_file_name(array, says):
    with pytest.raises(DataError, match=says) as error:
        labelling.label_image(sample(array))
    assert "a_label.tif" in str(error.value)


def on_disk(folder, mask, region=None):
    """A sample whose mask is a file."""
    image = ImageRef((write_image(folder / "a", np.zeros(mask.shape, np.uint8), "YX"),), region=region)
    path = write_image(folder / "a_mask", mask.astype(np.uint8), "YX")
    return Sample("a", "a", image, Mask(path, image))


def test_a_mask_whose_numbers_are_no_objects_is_refused_with_the_remedy(tmp_path):
    objects = labels_of(0)[1]
    for mask, says in (((objects > 0) * 255, "one number"), (objects % 3, "2 numbers")):
        with pytest.raises(DataError, match=says) as error:
            labelling.label_image(on_disk(tmp_path, mask))
        assert "a_mask.tif" in str(error.value)
        assert "repair" in str(error.value) and "MorphoLibJ" in str(error.value)


def test_a_photograph_in_the_place_of_labels_is_refused_without_a_repair(tmp_path):
    noise = np.random.default_rng(0).integers(1, 200, (64, 64)).astype(np.uint8)
    with pytest.raises(
        DataError, match=r"a_mask.tif: .*photographs \(199 different values.* swapped"
    ) as error:
        labelling.label_image(on_disk(tmp_path, noise))
    assert "repair" not in str(error.value)


def test_an_object_that_a_crop_parts_and_one_drawn_in_parts_are_objects(tmp_path):
    bow = np.zeros((20, 30), np.uint8)
    bow[2:18, 4:8] = bow[2:18, 20:24] = bow[14:18, 4:24] = 1
    cropped = labelling.label_image(on_disk(tmp_path, bow, region=((0, 10), (0, 30))))
    assert cropped.shape == (10, 30) and cropped.max() == 1
    bow[14:18] = 0
    with pytest.raises(DataError):
        labelling.label_image(on_disk(tmp_path, bow))
    held = on_disk(tmp_path, bow)
    drawn = replace(held, target=Mask(write_rois(tmp_path / "a_RoiSet", bow), held.source))
    assert np.array_equal(labelling.label_image(drawn), bow)


def test_a_single_object_slips_of_the_brush_and_empty_images_are_fine():
    objects = labels_of(0)[1].copy()
    one = (objects == 2).astype(np.uint8) * 255
    one[0, 0] = one[-1, -1] = 255
    assert labelling.label_image(sample(one)).max() == 1
    ys, xs = np.nonzero(objects == 0)
    objects[ys[::40], xs[::40]] = np.resize(np.arange(1, objects.max() + 1), len(ys[::40]))
    assert labelling.label_image(sample(objects)).max() == objects.max()
    assert not labelling.label_image(sample(np.zeros((5, 5), np.uint8))).any()


def test_facts_are_measured_as_stardist_measures_them():
    # no border cuts an object
    arrays = [np.pad(labels_of(seed, (14, 60, 64), (2.0, 0.5, 0.5))[1], 1) for seed in range(3)]
    empty = np.zeros_like(arrays[0])
    facts = labelling.label_facts([sample(a, ndim=3) for a in [*arrays, empty]], None)["extra"]
    extents = calculate_extents(arrays)
    assert facts["extents"] == pytest.approx(extents)
    assert facts["anisotropy"] == pytest.approx(extents.max() / extents)
    assert facts["anisotropy"][0] > 2 and min(facts["anisotropy"]) == 1
    assert facts["objects"] == sum(a.max() for a in arrays) and facts["empty_images"] == 1
    covered = sum((a > 0).sum() for a in arrays)
    assert facts["foreground"] == pytest.approx(covered / (4 * empty.size))
    assert facts["object_pixels"] == np.median(np.concatenate([np.bincount(a.ravel())[1:] for a in arrays]))
    assert all(large >= usual for large, usual in zip(facts["large_extents"], extents, strict=True))
    with pytest.raises(DataError, match="holds an object"):
        labelling.label_facts([sample(empty, ndim=3)], None)


def blocks_in_rows(height, cut, n=4):
    """Upright objects of 6 x 4 pixels; the first `cut` of every row lie half out of the image."""
    labels = np.zeros((height, 80), np.int32)
    for i in range(n):
        labels[0 if i < cut else 4 : 3 if i < cut else 10, 8 * i + 2 : 8 * i + 6] = i + 1
    return labels


def test_objects_cut_by_the_border_do_not_flatten_the_measure_unless_few_are_whole():
    def measured(cut, images=5):
        facts = labelling.label_facts([sample(blocks_in_rows(20, cut)) for _ in range(images)], None)["extra"]
        return facts["extents"], facts["object_pixels"], facts["objects"]

    assert measured(0) == ((6, 4), 24, 20)
    assert measured(2) == ((6, 4), 24, 20), "half of them are whole"
    assert measured(3) == ((3, 4), 12, 20), "what few are whole may be the small ones"
    assert measured(2, images=2)[0] == (4.5, 4), "too few to leave any out"


def test_large_objects_that_are_all_cut_still_count_as_large():
    labels = np.zeros((60, 200), np.int32)
    for i in range(12):
        labels[20:26, 10 * i + 60 : 10 * i + 66] = i + 1
    labels[:, :50] = 13
    facts = labelling.label_facts([sample(labels)], None)["extra"]
    assert facts["extents"] == (6, 6) and facts["large_extents"][0] > 20


def test_the_distance_of_planes_comes_from_the_file_or_from_the_labels():
    samples = [sample(labels_of(seed, (14, 60, 64), (2.0, 0.5, 0.5))[1], ndim=3) for seed in range(2)]
    assert labelling.aspect(facts_of(samples, 3, pixel_size=(3.0, 0.5, 0.5))) == 6
    assert 2 < labelling.aspect(facts_of(samples, 3)) < 6, "4 by construction, nuclei being round"
    assert labelling.aspect(facts_of([sample(labels_of(0)[1])])) == 1


def test_every_part_of_the_task_is_found_by_its_name_and_speaks_to_the_others():
    for name in vars(INSTANCES).values():
        if isinstance(name, str) and name.startswith("zcdl_common."):
            assert callable(resolve(name))
    assert isinstance(INSTANCES, Task)
    pairs = [labels_of(seed) for seed in range(3)]
    samples = [sample(labels, source=source[..., None]) for source, labels in pairs]
    facts = facts_of(samples)
    found = resolve(INSTANCES.baseline)(samples, facts, 0).predict(pairs[0][0][..., None])
    truth = INSTANCES.read_target(samples[0], facts)
    scored = resolve(INSTANCES.scores)(truth, found, facts, None)
    assert scored == scores(truth, found.main) and scored["ap50"] > 0.4
    made = resolve(INSTANCES.outputs)(found, None, facts)
    assert made[""].labels and made[""].axes == "YX" and set(made) == {""}
    errors = resolve(INSTANCES.error_maps)(truth, found, facts, None)["_errors"].array
    assert set(np.unique(errors)) <= set(range(5)) and np.array_equal(
        errors > 0, (truth > 0) | (found.main > 0)
    )


def test_probabilities_are_written_where_they_come_along():
    found = Prediction(np.zeros((4, 5), np.int32), {"probability": np.zeros((4, 5), np.float32)})
    made = labelling.outputs(found, None, Facts(2, ("c",), (), "uint8"))
    assert made["_probability"].axes == "YX" and not made["_probability"].labels


def test_many_objects_keep_their_numbers_in_a_file(tmp_path):
    found = Prediction(np.arange(70_000, dtype=np.int32).reshape(280, 250))
    made = labelling.outputs(found, None, Facts(2, ("c",), (), "uint8"))[""]
    path = write_image(tmp_path / "a", made.array, made.axes, labels=made.labels)
    assert np.array_equal(tifffile.imread(path), found.main)


def written(tmp_path, frames, labels, extra=None, pixel_size=(0.5, 0.5)):
    found = [Prediction(each, extra or {}) for each in labels]
    facts = Facts(labels[0].ndim, ("DNA",), (), "uint16")
    paths, _ = labelling.files(found, (f[..., None] for f in frames), facts, pixel_size, tmp_path, "cells")
    return {path.name: path for path in paths}


def test_rois_opened_again_are_the_labels(tmp_path):
    source, labels = labels_of(1)
    paths = written(tmp_path, [source], [labels])
    assert set(paths) == {"cells_objects.csv", "cells_RoiSet.zip"}
    again = read_rois(paths["cells_RoiSet.zip"], labels.shape)
    assert not again.report and not again.notes
    assert scores(labels, again.labels)["mean_iou"] > 0.95
    assert np.array_equal(again.labels > 0, labels > 0)
    table = pd.read_csv(paths["cells_objects.csv"])
    assert table["area_px"].tolist() == np.bincount(labels.ravel())[1:].tolist()
    assert table["intensity_mean"].to_numpy() == pytest.approx(
        ndimage.mean(source, labels, np.arange(1, labels.max() + 1)), rel=1e-5
    )


def test_more_objects_than_fiji_can_list_get_no_rois_and_it_is_said(tmp_path, monkeypatch):
    source, labels = labels_of(1)
    monkeypatch.setattr(labelling, "MOST_REGIONS", 3)
    facts = Facts(2, ("DNA",), (), "uint16")
    paths, note = labelling.files([Prediction(labels)], [source[..., None]], facts, None, tmp_path, "cells")
    assert [p.name for p in paths] == [
        "cells_objects.csv"
    ] and f"{labels.max()} objects are more than 3" in note


def test_how_sure_the_network_is_stands_beside_each_object(tmp_path):
    source, labels = labels_of(1)
    sure = np.linspace(0.5, 0.9, labels.max(), dtype=np.float32)
    paths = written(tmp_path, [source], [labels], {"scores": sure})
    assert pd.read_csv(paths["cells_objects.csv"])["score"].to_numpy() == pytest.approx(sure, rel=1e-5)


def test_an_image_without_objects_gets_an_empty_table_and_no_rois(tmp_path):
    paths = written(tmp_path, [np.zeros((8, 8))], [np.zeros((8, 8), np.int32)])
    assert set(paths) == {"cells_objects.csv"} and len(pd.read_csv(paths["cells_objects.csv"])) == 0


def test_a_movie_becomes_a_label_hyperstack_tables_with_frames_and_no_file_is_forgotten(
    tmp_path, monkeypatch
):
    stack = [labels_of(seed, (6, 40, 44), (2.0, 0.5, 0.5)) for seed in range(3)]
    movie = np.stack([source for source, _ in stack])
    (tmp_path / "new").mkdir()
    write_image(tmp_path / "new" / "movie", movie, "TZYX", pixel_size=(2.0, 0.5, 0.5))

    def found(run, model, image, settings=None):
        return Prediction(label(image[..., 0] > 60).astype(np.int32))

    monkeypatch.setattr(use, "predict", found)
    config = SimpleNamespace(axes="", pixel_size=None, output_format="imagej")
    config.channels_of = lambda domain: (None, "channels")
    facts = Facts(3, ("DNA",), (), "uint16")
    run = SimpleNamespace(config=config, facts=facts, network=SimpleNamespace(task=INSTANCES))
    (done,) = use.predict_folder(run, None, str(tmp_path / "new"), tmp_path / "out")
    assert not done.problem
    assert [path.name for path in done.outputs] == ["movie.tif", "movie_objects.csv", "movie_trackmate.csv"]
    with tifffile.TiffFile(done.outputs[0]) as file:
        assert file.series[0].axes == "TZYX" and file.series[0].shape == (3, 6, 40, 44)
        labels = file.asarray()
    assert labels.dtype == np.uint16
    table, spots = (pd.read_csv(path) for path in done.outputs[1:])
    assert table["frame"].value_counts(sort=False).tolist() == [frame.max() for frame in labels]
    assert len(spots) == len(table) and spots["frame"].tolist() == table["frame"].tolist()
    assert spots["z"].to_numpy() == pytest.approx((table["z_px"] - 0.5).to_numpy() * 2.0, rel=1e-5)


@pytest.mark.real
def test_real_labels_are_read_as_objects(real_data):
    for folder, ndim in (("stardist2d/dsb2018_256", 2), ("stardist3d/bbbc050_nuclei", 3)):
        paths = sorted((real_data / folder / "train" / "target").glob("*.tif"))
        assert paths
        for path in paths:
            array = tifffile.imread(path)
            held = Sample(path.stem, path.stem, Held(np.zeros((*array.shape, 1)), "a.tif"), Held(array, path))
            assert labelling.label_image(held).max() == len(np.unique(array[array > 0])), ndim
