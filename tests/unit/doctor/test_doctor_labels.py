"""What masks hold."""

import io

import numpy as np
import pytest
from held import Held
from PIL import Image
from scipy import ndimage
from skimage.transform import rescale

from zcdl_common.doctor.labels import check_masks
from zcdl_common.doctor.masks import Mask, measure_mask
from zcdl_common.errors import DataError
from zcdl_common.labelling import label_image
from zcdl_common.task import Sample

SPOTS = [(10, 10), (10, 40), (40, 12), (44, 44)]


def discs(values, radius=6, dtype=np.uint8):
    """A mask (64, 64, 1) with a disc of each value."""
    y, x = np.mgrid[:64, :64]
    mask = np.zeros((64, 64, 1), dtype)
    for (cy, cx), value in zip(SPOTS, values, strict=False):
        mask[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = value
    return mask


BINARY = discs([255] * 4)
CLASSES = discs([1, 2, 1, 2])
OBJECTS = discs([1, 2, 3, 4])
COLOURS = np.concatenate([discs([200, 0, 0, 90]), discs([0, 200, 0, 90]), discs([0, 0, 200, 0])], axis=-1)


def jpeg(mask, quality):
    stream = io.BytesIO()
    Image.fromarray(mask[..., 0]).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))[..., None]


def found(masks, task="segment"):
    return {f.code: f for f in check_masks(masks, task)}


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (np.zeros((8, 8, 1), np.uint8), "empty"),
        (np.full((8, 8, 1), 255, np.uint8), "full"),
        (BINARY, "binary"),
        (CLASSES, "classes"),
        (OBJECTS, "objects"),
        (OBJECTS.astype(np.float32), "objects"),
        (np.repeat(OBJECTS[None], 5, axis=0), "objects"),
        (COLOURS, "colours"),
        (jpeg(BINARY, 60), "soft"),
        (jpeg(BINARY, 95), "soft"),
        ((rescale(BINARY[..., 0] / 255, 0.7, anti_aliasing=True) * 255).astype(np.uint8)[..., None], "soft"),
        (BINARY / 400, "soft"),
    ],
)
def test_kind_of_mask(mask, kind):
    assert measure_mask(mask).kind == kind


def test_measures_of_a_mask():
    mask = measure_mask(BINARY)
    assert mask.values == (0, 255) and mask.objects == 4 and set(mask.extents) == {(13, 13)}
    assert mask.share == pytest.approx(np.mean(BINARY > 0))
    assert mask.thickness == pytest.approx(13, abs=2)
    assert measure_mask(OBJECTS).objects == 4


def test_a_mask_without_background_counts_all_its_values():
    mask = measure_mask(np.repeat(np.arange(1, 4, dtype=np.uint8), 8).reshape(4, 6, 1).repeat(8, axis=0))
    assert mask.objects >= 3 and mask.share == 1.0


def test_contrast_has_the_sign_of_the_difference():
    image = BINARY.astype(np.float32) + 3
    assert measure_mask(BINARY, image).contrast > 1
    assert measure_mask(BINARY, -image).contrast < -1
    assert measure_mask(BINARY, image[:32]).contrast == 0.0


def test_good_masks_give_no_finding():
    assert not found({"a": measure_mask(BINARY), "b": measure_mask(discs([255, 255]))})
    assert not found({"a": measure_mask(CLASSES), "b": measure_mask(discs([2, 2, 1]))})
    assert not found({"a": measure_mask(OBJECTS), "b": measure_mask(discs([1]))}, "instances")


def test_soft_and_coloured_masks_are_errors_with_a_repair():
    codes = found({"a": measure_mask(jpeg(BINARY, 80)), "b": measure_mask(COLOURS)})
    assert codes["soft-mask"].severity == "error" and codes["soft-mask"].repair == "two values"
    assert codes["mask-in-colours"].severity == "error"
    assert codes["mask-in-colours"].repair == "numbers from colours"


def test_a_photograph_cannot_be_repaired_into_a_mask():
    photograph = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert found({"a": measure_mask(photograph)})["mask-is-a-photograph"].repair is None


def test_grey_mask_saved_as_colour_is_noted_with_and_without_alpha():
    rgb = np.repeat(BINARY, 3, axis=-1)
    for mask in (rgb, np.concatenate([rgb, np.full_like(BINARY, 255)], axis=-1)):
        seen = measure_mask(mask)
        assert seen.kind == "binary" and "mask-saved-as-colour" in found({"a": seen})


def test_one_empty_mask_warns_and_all_empty_is_an_error():
    empty, good = measure_mask(np.zeros((8, 8, 1), np.uint8)), measure_mask(BINARY)
    assert found({"a": empty, "b": good})["empty-mask"].files == ("a",)
    assert found({"a": empty, "b": empty})["all-masks-empty"].severity == "error"


def test_a_mask_without_background_warns():
    assert "mask-without-background" in found({"a": measure_mask(np.full((8, 8, 1), 1))})


def test_instances_need_a_number_for_each_object():
    codes = found({"a": measure_mask(BINARY)}, "instances")
    assert codes["objects-not-numbered"].severity == "error"
    assert codes["objects-not-numbered"].repair == "number the objects"
    assert "4 separate objects" in codes["objects-not-numbered"].reason
    assert "objects-not-numbered" in found({"a": measure_mask(CLASSES)}, "instances")


def test_numbered_objects_become_one_class_in_segmentation():
    finding = found({"a": measure_mask(OBJECTS), "b": measure_mask(discs([1, 2, 3]))})["objects-are-numbered"]
    assert finding.severity == "note" and "one class" in finding.reason
    assert not list(check_masks({"a": measure_mask(OBJECTS)}, "segment", classes=True))


def test_masks_of_1_among_masks_of_255_are_an_error():
    one = {"a": measure_mask(discs([1, 1])), "b": measure_mask(BINARY), "c": measure_mask(BINARY)}
    finding = found(one)["masks-coded-differently"]
    assert finding.severity == "error" and finding.files == ("a",) and finding.repair == "two values"
    assert not found({"a": measure_mask(discs([1, 1])), "b": measure_mask(discs([2, 2]))})


def test_an_inverted_mask_among_others_is_seen():
    usual = Mask("binary", (0, 255), share=0.2, contrast=1.5)
    inverted = Mask("binary", (0, 255), share=0.8, contrast=-1.5)
    masks = {str(i): usual for i in range(5)}
    assert found(masks | {"odd": inverted})["mask-inverted"].files == ("odd",)
    assert not found(masks)


def test_low_numbers_of_objects_are_never_soft():
    mask = np.zeros((6, 40, 40, 1), np.uint8)
    for z in range(6):  # numbered afresh in each plane, as counting slice by slice does
        for n in range(1, 8 + z):
            y, x = divmod(n - 1, 4)
            mask[z, 9 * y + 2 : 9 * y + 6 + z % 2, 9 * x + 2 : 9 * x + 5] = n
    assert measure_mask(mask).kind in ("objects", "classes")


@pytest.mark.parametrize(("inverted", "expected"), [(True, ["masks-mostly-foreground"]), (False, [])])
def test_a_set_of_inverted_masks_is_asked_about(inverted, expected):
    mask = np.zeros((64, 64, 1), np.uint8)
    mask[10:22, 10:22] = 255
    masks = {f"{n}.tif": measure_mask(255 - mask if inverted else mask) for n in range(3)}
    assert [f.code for f in check_masks(masks, "segment") if f.severity != "note"] == expected


def in_pieces(shape=(64, 64)):
    """Squares 10 to 40; 40 has a second one, 20 a speck, 10 a part that touches it by a corner."""
    mask = np.zeros(shape, np.uint16)
    for i, (y, x) in enumerate(SPOTS):
        mask[..., y - 5 : y + 6, x - 5 : x + 6] = 10 * (i + 1)
    mask[..., 54:62, 24:34] = 40
    mask[..., 1, 60:62] = 20
    mask[..., 16:18, 16:18] = 10  # touches the corner of 10's own square
    return mask[..., None]


@pytest.mark.parametrize("shape", [(64, 64), (5, 64, 64)])
def test_numbers_in_several_pieces_are_counted_and_one_is_shown(shape):
    mask = in_pieces(shape)
    seen = measure_mask(mask).fragments
    assert (seen.numbers, seen.parted, seen.specks, seen.larger) == (4, 1, 1, 5)
    number, place = seen.example
    assert number == 40 and mask[(*place, 0)] == 40
    finding = found({"a": measure_mask(mask)}, "instances")["objects-in-pieces"]
    assert (
        finding.severity == "warning" and finding.repair and f"y {place[-2]}, x {place[-1]}" in finding.reason
    )
    assert "1 number of 4 in several separate pieces and 1 speck" in finding.reason
    assert not found({"a": measure_mask(mask, regions=True)}, "instances"), "drawn in parts on purpose"


def test_corners_connect_and_whole_objects_give_no_fragments():
    y, x = np.mgrid[:20, :20]
    diagonal = (3 * (y == x))[..., None]
    diagonal[15:, :4] = 5
    assert measure_mask(diagonal).fragments.parted == measure_mask(diagonal).fragments.specks == 0
    assert "objects-in-pieces" not in found({"a": measure_mask(OBJECTS)}, "instances")


def test_many_pieces_of_few_numbers_are_an_error_that_training_would_raise_too():
    rng = np.random.default_rng(0)
    many = discs([0] * 4, dtype=np.uint16)
    for number in range(1, 15):  # more numbers than there are classes in any mask
        for _ in range(3):
            y, x = 2 + 8 * rng.permutation(8)[:2]
            many[y : y + 4, x : x + 4] = number
    finding = found({"a": measure_mask(many)}, "instances")["objects-in-pieces"]
    assert finding.severity == "error"
    with pytest.raises(DataError):
        label_image(Sample("a", "a", Held(many), Held(many)))


def test_one_object_with_a_speck_among_numbered_images_is_not_taken_for_a_mask():
    speck = discs([7])
    speck[60, 60] = 7
    alone = found({"a": measure_mask(speck)}, "instances")
    assert set(alone) == {"objects-not-numbered"}
    among = found({"a": measure_mask(speck), "b": measure_mask(OBJECTS)}, "instances")
    assert set(among) == {"objects-in-pieces"} and among["objects-in-pieces"].severity == "warning"


def test_negative_numbers_are_named_before_the_training_meets_them():
    labels = discs([1, 2, 3, 4]).astype(np.int16)
    labels[labels == 0] = -1
    assert list(found({"a.tif": measure_mask(labels)}, "instances")) == ["negative-numbers"]
    with pytest.raises(DataError, match="negative numbers"):
        label_image(Sample("a", "a", Held(labels), Held(labels[..., 0])))
    assert not found({"a.tif": measure_mask(discs([1, 2, 3, 4]))}, "instances")


def micrograph(seed=0, dark=0):
    rng = np.random.default_rng(seed)
    cells = ndimage.gaussian_filter(rng.random((96, 96)) > 0.99, 3.0, output=float)
    return (dark + rng.normal(20 + 2000 * cells, 4)).clip(dark, 255).astype(np.uint8)


@pytest.mark.parametrize(("task", "word"), [("instances", "label images"), ("segment", "masks")])
def test_images_in_the_place_of_labels_are_an_error_without_a_repair(tmp_path, new_folder, task, word):
    grey = {str(i): measure_mask(micrograph(i, dark=3)[..., None]) for i in range(3)}
    assert {m.kind for m in grey.values()} == {"photograph"}
    (finding,) = check_masks(grey, task)
    assert finding.severity == "error" and finding.repair is None and len(finding.files) == 3
    assert f"the {word} look like photographs" in finding.reason
    assert f"images and {word} swapped?" in finding.reason and "no background" in finding.reason
    with pytest.raises(DataError, match=r"look like photographs .* swapped"):
        label_image(new_folder(tmp_path, n=0).add("a.tif", micrograph(0), micrograph(0, dark=3)))


def test_numbers_spoilt_by_jpeg_are_an_error_without_a_repair(cells):
    _, labels = cells(0, (256, 256))
    assert labels.max() > 8 and measure_mask(labels[..., None]).kind == "objects"
    stream = io.BytesIO()
    Image.fromarray((labels * 7 % 256).astype(np.uint8)).save(stream, "JPEG", quality=85)
    mask = measure_mask(np.asarray(Image.open(stream))[..., None])
    (finding,) = check_masks({"a": mask}, "instances")
    assert finding.severity == "error" and finding.repair is None
    assert "JPEG" in finding.reason and "never JPEG" in finding.remedy


def test_many_scattered_classes_and_tiny_objects_are_no_photograph():
    tissue = np.kron(np.random.default_rng(0).integers(0, 20, (40, 40)), np.ones((6, 6), int))
    tiny = np.zeros((64, 64), np.uint16)
    tiny[::4, ::4] = np.arange(1, 257).reshape(16, 16)
    assert measure_mask(tissue[..., None].astype(np.uint8)).kind != "photograph"
    assert measure_mask(tiny[..., None]).kind == "objects"
