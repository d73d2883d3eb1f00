"""The whole check on pairs of bright field and fluorescence."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from zcdl_common.doctor import check, repair
from zcdl_common.images import ImageRef
from zcdl_common.networks.tasks import LABEL_FREE, TRANSLATE
from zcdl_common.samples.translate import brightfield_to_nuclei
from zcdl_common.task import Sample


@pytest.fixture(scope="module")
def fields():
    """Bright field and fluorescence (256, 256) uint16 of 20 fields."""
    rngs = map(np.random.default_rng, range(20))
    return [brightfield_to_nuclei(rng, (256, 256), (0.3, 0.3)) for rng in rngs]


def save(folder, pairs, *, pixel_size=None, group=""):
    """Samples of pairs on disk."""
    samples = []
    for i, pair in enumerate(pairs):
        refs = []
        for side, pixels in zip(("light", "stain"), pair, strict=True):
            path = folder / side / f"{i}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = pixel_size if side == "light" else None
            tifffile.imwrite(
                path,
                pixels,
                imagej=True,
                resolution=(1 / size, 1 / size) if size else None,
                metadata={"axes": "ZYX"[-pixels.ndim :], **({"unit": "micron"} if size else {})},
            )
            refs.append(ImageRef((path,)))
        samples.append(Sample(str(i), group or str(i), *refs))
    return samples


def found(samples, task=LABEL_FREE):
    return {finding.code: finding for finding in check(samples, task=task).findings}


def test_good_pairs_give_no_finding_whichever_side_is_the_noisier(tmp_path, fields):
    assert not found(save(tmp_path / "a", fields[:10]))
    assert not found(save(tmp_path / "b", [pair[::-1] for pair in fields[:10]]), TRANSLATE)


def test_fluorescence_given_as_transmitted_light_is_asked_about(tmp_path, fields):
    said = found(save(tmp_path / "a", [pair[::-1] for pair in fields[:10]]))
    assert list(said) == ["folders-exchanged"] and said["folders-exchanged"].severity == "warning"
    assert "are the folders swapped?" in said["folders-exchanged"].reason
    stains = [(stain, np.roll(stain, 1, 0)) for _, stain in fields[:6]]
    assert "folders-exchanged" not in found(save(tmp_path / "b", stains)), "from one stain to another"
    assert "folders-exchanged" not in found(save(tmp_path / "c", [pair[::-1] for pair in fields[:3]]))


def test_no_finding_speaks_of_clean_images_or_masks(tmp_path, fields):
    pairs = [list(pair) for pair in fields[:10]]
    pairs[0][1] = pairs[0][1][:200]
    pairs[1][1] = pairs[1][1].astype(np.float32)
    pairs[2][1] = np.stack([pairs[2][1]] * 2)
    pairs[3][1] = np.roll(pairs[3][1], (6, 3), (0, 1))
    samples = save(tmp_path, pairs)
    samples.append(Sample("lonely", "lonely", samples[0].source))
    report = check(samples, task=LABEL_FREE)
    assert {f.code for f in report.findings} >= {
        "different-sizes", "different-bit-depths", "shifted", "missing-partner",
    }  # fmt: skip
    text = report.text().lower()
    assert "fluorescence image" in text
    assert not [word for word in ("clean", "noisy", "mask", "label image") if word in text]
    assert "no target image of the same name" in check(samples, task=TRANSLATE).text()


@pytest.mark.parametrize("side", [0, 1])
def test_a_finding_tells_in_which_of_two_folders_the_file_lies(tmp_path, fields, side):
    pairs = [list(pair) for pair in fields[:10]]
    pairs[0][side] = np.minimum(pairs[0][side], int(np.percentile(pairs[0][side], 80)))
    report = check(save(tmp_path, pairs), task=LABEL_FREE)
    name = str(Path(("light", "stain")[side], "0.tif"))
    assert f"    {name}: about" in report.text() and report.rows()[0]["files"] == name


def test_moved_fluorescence_is_found(tmp_path, fields):
    moved = [(light, np.roll(stain, (5, -4), (0, 1))) for light, stain in fields[:6]]
    finding = found(save(tmp_path, moved))["shifted"]
    assert "the fluorescence image fits its image better when moved 5 px up and 4 px to the right" in (
        finding.reason
    )


def test_equal_names_of_other_fields_are_no_pairs_and_of_one_movie_nothing_is_said(tmp_path, fields):
    strangers = [(light, stain) for (light, _), (_, stain) in zip(fields[:10], fields[10:], strict=True)]
    finding = found(save(tmp_path / "a", strangers))["not-pairs"]
    assert "their own fluorescence images" in finding.reason and "CycleGAN" in finding.remedy
    assert not found(save(tmp_path / "b", strangers, group="movie"))


def test_exchanged_names_are_told_by_name_and_not_as_unpaired(tmp_path, fields):
    exchanged = [(fields[i][0], fields[(i + 1) % 10][1]) for i in range(10)]
    said = found(save(tmp_path, exchanged))
    assert "10 of 10 fluorescence images fit another image" in said["targets-of-other-images"].reason
    assert "not-pairs" not in said


def test_targets_of_other_channels_and_types_are_named(tmp_path, fields):
    pairs = [list(pair) for pair in fields[:6]]
    pairs[2][1] = (pairs[2][1] // 16).astype(np.uint8)
    said = found(save(tmp_path, pairs))
    assert "the fluorescence images differ in type" in said["different-bit-depths"].reason
    assert Path(said["different-bit-depths"].files[0]).parent.name == "stain"


def binned(image):
    return image.reshape(128, 2, 128, 2).mean(axis=(1, 3)).astype(image.dtype)


@pytest.mark.parametrize("small", ["light", "stain"])
def test_the_smaller_of_two_cameras_is_enlarged_in_a_copy(tmp_path, fields, small):
    pairs = [
        (binned(light), stain) if small == "light" else (light, binned(stain)) for light, stain in fields[:10]
    ]
    samples = save(tmp_path / "data", pairs, pixel_size=0.6 if small == "light" else 0.3)
    report = check(samples, task=LABEL_FREE)
    assert [f.code for f in report.errors] == ["other-scale"] and len(report.errors[0].files) == 10
    assert all(Path(f).parent.name == small for f in report.errors[0].files)
    lines = repair(samples, report, tmp_path / "repaired")
    assert len(lines) == 10 and "enlarge to the size of its partner" in lines[0]
    folder = "source" if small == "light" else "target"
    copies = [ImageRef((tmp_path / "repaired" / folder / f"{i}.tif",)) for i in range(10)]
    mended = [
        Sample(s.name, s.group, copy, s.target)
        if small == "light"
        else Sample(s.name, s.group, s.source, copy)
        for s, copy in zip(samples, copies, strict=True)
    ]
    assert not found(mended), "neither other sizes nor a shift are left"
    info = copies[0].info()
    assert info.shape == (256, 256) and info.dtype == "uint16"
    assert info.pixel_size == pytest.approx((0.3, 0.3))
    original = fields[0][small == "stain"].astype(float)
    close = np.corrcoef(copies[0].read()[..., 0].ravel(), original.ravel())[0, 1]
    assert close > 0.9 and samples[0].source.info().shape == pairs[0][0].shape


def test_targets_of_several_folders_are_enlarged_together_and_keep_the_names_of_their_channels(
    tmp_path, fields
):
    light, stain = fields[0]
    paths = [tmp_path / folder / "0.tif" for folder in ("nuclei", "membrane")]
    (sample,) = save(tmp_path / "data", [(light, binned(stain))])
    for path in paths:
        path.parent.mkdir()
        tifffile.imwrite(path, binned(stain), metadata={"axes": "YX"})
    several = [Sample("0", "0", sample.source, ImageRef(tuple(paths)))]
    lines = repair(several, check(several, task=LABEL_FREE), tmp_path / "repaired")
    assert len(lines) == 2
    copies = tuple(tmp_path / "repaired" / "target" / folder / "0.tif" for folder in ("nuclei", "membrane"))
    info = ImageRef(copies).info()
    assert info.shape == (256, 256) and info.channel_names == ("nuclei", "membrane")


def test_large_sets_tell_a_factor_from_their_headers(tmp_path, fields, monkeypatch):
    monkeypatch.setattr("zcdl_common.doctor.examine.MOST_READ", 2)
    samples = save(tmp_path, [(binned(light), stain) for light, stain in fields[:6]])
    assert "in all 6 pairs" in found(samples)["other-scale"].reason


def test_a_part_of_a_field_is_not_taken_for_another_scale(tmp_path, fields):
    samples = save(tmp_path, [(light[:128, :128], stain) for light, stain in fields[:6]], pixel_size=0.3)
    known = [
        Sample(s.name, s.group, s.source, ImageRef(s.target.paths, pixel_size=(0.3, 0.3))) for s in samples
    ]
    said = found(known)
    assert "other-scale" not in said and said["different-sizes"].repair is None


def test_a_stack_with_a_flat_target_is_told_to_be_channels(tmp_path, fields):
    stacks = [(np.stack([light, light + 9, light + 30]), stain) for light, stain in fields[:6]]
    samples = save(tmp_path, stacks)
    finding = found(samples)["stack-with-flat-target"]
    assert finding.severity == "error" and "set axes = CYX" in finding.remedy and len(finding.files) == 1
    channels = [
        Sample(s.name, s.group, ImageRef(s.source.paths, "CYX"), ImageRef(s.target.paths, "CYX"))
        for s in samples
    ]
    assert not [f for f in found(channels).values() if f.severity == "error"]
