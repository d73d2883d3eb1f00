import numpy as np
import pytest
import tifffile

from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef, find_images
from zcdl_common.predict import check, maps, predict, predict_folder
from zcdl_common.writers import write_image


def read(path):
    """Pixels and axes of what was written."""
    ref = find_images(str(path), "written")
    return np.squeeze(np.stack([r.read() for r in ref])), ref[0].info()


@pytest.fixture
def model(finished):
    return finished.load()


@pytest.fixture
def large(make, tmp_path):
    """An image of 230 x 170 pixels in a folder of its own."""
    make.write(tmp_path / "new" / "large.tif", make.blobs((230, 170), 70)[0], pixel_size=(0.5, 0.5))
    return tmp_path / "new"


def test_one_image_gives_mask_and_probability(finished, model, make):
    image, _ = make.blobs((45, 51), 33)
    found = predict(finished, model, image[..., None])
    assert found.main.shape == (45, 51) and set(np.unique(found.main)) <= {0, 1}
    probability = found.extra["probability"]
    assert probability.shape == (45, 51, 1)
    assert np.array_equal(found.main, probability[..., 0] >= finished.settings()["threshold"])


def test_the_threshold_of_the_user_decides(finished, model, make):
    image = make.blobs((45, 51), 33)[0][..., None]
    areas = [predict(finished.using(threshold=t), model, image).main.sum() for t in (0.05, 0.5, 0.95)]
    assert areas[0] > areas[1] > areas[2] or areas[0] > areas[2]


def test_files_keep_name_size_and_pixel_size(finished, model, large, tmp_path):
    (written,) = predict_folder(finished, model, str(large), tmp_path / "out")
    assert (written.file, written.problem) == ("large.tif", "")
    array, info = read(written.outputs[0])
    assert written.outputs == (tmp_path / "out" / "large.tif",)
    assert info.shape == (230, 170) and info.pixel_size == pytest.approx((0.5, 0.5))
    assert array.dtype == np.uint8 and set(np.unique(array)) == {0, 255}


def test_a_movie_keeps_its_frames(finished, model, make, tmp_path):
    frames = np.stack([make.blobs((40, 36), t)[0] for t in range(4)])
    write_image(tmp_path / "new" / "movie.tif", frames, "TYX", frame_interval=30.0)
    (written,) = predict_folder(finished, model, str(tmp_path / "new"), tmp_path / "out")
    assert [p.name for p in written.outputs] == ["movie.tif"]
    with tifffile.TiffFile(written.outputs[0]) as file:
        assert file.series[0].axes == "TYX" and file.series[0].shape == (4, 40, 36)
        assert file.imagej_metadata["finterval"] == 30
        found = file.asarray()
    for frame, mask in zip(frames, found, strict=True):
        assert np.array_equal(predict(finished, model, frame[..., None]).main * 255, mask)


@pytest.mark.parametrize(
    ("format", "ending"), [("imagej", ".ome.tif"), ("ome-tiff", ".ome.tif"), ("ome-zarr", ".ome.zarr")]
)
def test_streaming_gives_what_memory_gives(finished, model, large, tmp_path, format, ending):
    run = finished.using(output_format=format)
    (streamed,) = predict_folder(run, model, str(large), tmp_path / "a", stream_above=100)
    (whole,) = predict_folder(run, model, str(large), tmp_path / "b")
    assert not streamed.problem and streamed.outputs[0].name == "large" + ending
    one, info = read(streamed.outputs[0])
    assert np.array_equal(one, read(whole.outputs[0])[0])
    assert info.pixel_size == pytest.approx((0.5, 0.5))


def test_streaming_a_volume_gives_what_memory_gives(finished_3d, make, tmp_path):
    make.write(tmp_path / "new" / "v.tif", make.blobs((11, 60, 58), 5)[0], pixel_size=(1, 0.25, 0.25))
    model = finished_3d.load()
    results = [
        predict_folder(finished_3d, model, str(tmp_path / "new"), tmp_path / str(n), stream_above=n)[0]
        for n in (10, 10**9)
    ]
    one, other = (read(r.outputs[0]) for r in results)
    assert one[1].shape == (11, 60, 58) and np.array_equal(one[0], other[0])
    assert one[1].pixel_size == pytest.approx((1, 0.25, 0.25))


@pytest.mark.parametrize(
    ("format", "ending"), [("imagej", ".tif"), ("ome-tiff", ".ome.tif"), ("ome-zarr", ".ome.zarr")]
)
def test_the_file_format_is_the_chosen_one(finished, model, large, tmp_path, format, ending):
    run = finished.using(output_format=format)
    (written,) = predict_folder(run, model, str(large), tmp_path / "out")
    assert written.outputs[0].name == "large" + ending


@pytest.mark.parametrize(
    ("output", "names"),
    [("mask", ["large.tif"]), ("labels", ["large_labels.tif"]), ("probability", ["large_probability.tif"]),
     ("all", ["large.tif", "large_labels.tif", "large_probability.tif"])],
)  # fmt: skip
def test_what_is_saved_is_what_was_chosen(finished, model, large, tmp_path, output, names):
    from skimage.measure import label

    (written,) = predict_folder(finished.using(output=output), model, str(large), tmp_path / "out")
    assert sorted(p.name for p in written.outputs) == names
    found = {p.name: read(p)[0] for p in written.outputs}
    if output == "all":
        threshold = finished.settings()["threshold"]
        assert np.array_equal(found["large.tif"] > 0, found["large_probability.tif"] >= threshold)
        assert np.array_equal(label(found["large.tif"], connectivity=1), found["large_labels.tif"])


def test_small_objects_are_left_out_of_labels(finished, model, large, tmp_path):
    sizes = {}
    for least in (0, 30):
        run = finished.using(output="labels", min_object_pixels=least)
        (written,) = predict_folder(run, model, str(large), tmp_path / str(least))
        labels = read(written.outputs[0])[0]
        sizes[least] = np.bincount(labels.ravel())[1:]
        assert labels.max() == len(np.unique(labels)) - 1, "numbers have no gaps"
    assert sizes[0].min() < 30 <= sizes[30].min()
    assert sorted(sizes[30]) == sorted(s for s in sizes[0] if s >= 30)


def test_dimension_and_channels_are_checked(finished, finished_3d):
    with pytest.raises(DataError, match=r"a\.tif is 3D.*trained on 2D.*axes = TYX"):
        check(finished, (5, 32, 32, 1), "a.tif")
    with pytest.raises(DataError, match=r"a\.tif is 2D.*trained on 3D"):
        check(finished_3d, (32, 32, 1), "a.tif")
    with pytest.raises(DataError, match=r"a\.tif has 2 channels.*trained on 1"):
        check(finished, (32, 32, 2), "a.tif")


def test_the_best_and_the_last_weights_are_different_models(trained, make):
    image = make.blobs((45, 51), 33)[0][..., None]
    trained.build().save(trained.weights, "last")
    one, other = (maps(trained, trained.using(weights=w).load(), image)[0] for w in ("best", "last"))
    assert not np.array_equal(one, other)


def test_a_new_kernel_needs_the_run_folder_alone(finished, make, tmp_path):
    import shutil

    from zcdl_common.run import open_run

    shutil.copytree(finished.folder, tmp_path / "moved")
    image = make.blobs((45, 51), 33)[0][..., None]
    moved = open_run(tmp_path / "moved")
    assert np.array_equal(maps(moved, moved.load(), image)[0], maps(finished, finished.load(), image)[0])


def test_what_goes_wrong_with_one_file_is_told_and_loses_no_other(
    finished, model, make, tmp_path, monkeypatch
):
    source, _ = make.pairs(tmp_path, 3)
    whole = ImageRef.read

    def short_of_memory(ref):
        if ref.name == "cell_1":
            raise MemoryError("no room")
        return whole(ref)

    monkeypatch.setattr(ImageRef, "read", short_of_memory)
    done = predict_folder(finished, model, str(source), tmp_path / "out")
    assert [w.problem for w in done] == ["", "MemoryError: no room", ""]
