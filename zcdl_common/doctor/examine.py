"""Run every check that fits the task over a whole data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from zcdl_common.doctor import (
    alignment,
    borders,
    box_classes,
    boxes,
    duplicates,
    intensities,
    kinship,
    labels,
    matching,
    objects,
    resizing,
    shapes,
)
from zcdl_common.doctor.findings import Finding, Report, namesakes, size_text
from zcdl_common.doctor.reading import Look, alone, imaged, look_at, two_kinds, unreadable
from zcdl_common.task import Sample, Task

MOST_READ = 200
"""Images that are read whole; of larger sets every n-th one, and the headers of the others."""
_SHARED_SCALE = ("noise2void", "cyclegan", "deepstorm")


def check(
    samples: Sequence[Sample],
    *,
    task: Task,
    test: Sequence[Sample] = (),
    unmatched: Any = None,
    patch_size: Sequence[int] | None = None,
    ndim: int | None = None,
    problems: Sequence[Exception] = (),
    config: Any = None,
) -> Report:
    """Look for whatever would waste an hour of training.

    A file that cannot be read is a finding; the others are checked all the same.

    Parameters
    ----------
    samples : sequence of Sample
        Training and validation images, with targets where the task has them.
    task : Task
    test : sequence of Sample
        Images of a test folder of their own.
    unmatched : Pairing or sequence of Pairing, optional
        What ``without_target`` and ``without_source`` hold are reported as missing partners.
    patch_size : sequence of int, optional
        (Z)YX in pixels; default the one in `config`.
    ndim : int, optional
        2 or 3 where it was chosen; default what most files are.
    problems : sequence of DataError
        Files that could not even be opened and are not among the samples.
    config : Config, optional
        For the network's name, the patch size and what the numbers in masks are.

    Returns
    -------
    Report
        ``report.errors`` is empty if training can start.
    """
    word = task.target_label.removesuffix("s")
    patch_size = patch_size if patch_size is not None else getattr(config, "patch_size", None)
    everything = [(s, False) for s in samples] + [(s, True) for s in test]
    names = _file_names([s for s, _ in everything])
    step = -(-len(everything) // MOST_READ) or 1
    looks = [
        look_at(sample, file, is_test, task, word, whole=i % step == 0)
        for i, ((sample, is_test), file) in enumerate(zip(everything, names, strict=True))
    ]
    findings = [unreadable((), str(problem)) for problem in problems]
    findings += [f for look in looks for f in look.findings]
    findings += _partners(looks, unmatched, task, word)
    findings += shapes.check_count(
        len({(s.source.path, getattr(s.source, "frame", None)) for s in samples}), task.name
    )
    findings += _set(looks, task, ndim, patch_size, getattr(config, "network", ""))
    classes = getattr(config, "masks_are", "auto") == "classes"
    findings += _annotations(looks, task, word, patch_size, classes)
    if step > 1:
        findings.append(_sampled(sum(look.read for look in looks), len(looks)))
    table = tuple(_row(look) for look in looks if look.read)
    files = [str(lazy.path) for s, _ in everything for lazy in (s.source, s.target) if lazy is not None]
    return Report(tuple(dict.fromkeys(findings)), table, len(everything), namesakes(files))


def _sampled(read: int, total: int) -> Finding:
    return Finding(
        "note",
        "sampled",
        (),
        f"{read} of the {total} images were read whole, evenly spaced; of the others only the headers.",
        "Nothing. Problems of single files among the others come to light when they are used.",
    )


def _file_names(samples: Sequence[Sample]) -> list[str]:
    """Paths of the images; where several samples are parts of one file, the part is added."""
    paths = [str(s.source.path) for s in samples]
    counts = Counter(paths)
    return [f"{p} ({s.name})" if counts[p] > 1 else p for p, s in zip(paths, samples, strict=True)]


def _partners(looks: Sequence[Look], unmatched: Any, task: Task, word: str) -> Iterator[Finding]:
    if alone(task):
        return
    pairings = [unmatched] if hasattr(unmatched, "without_target") else list(unmatched or ())
    bare = [look.file for look in looks if look.sample.target is None]
    if len(bare) == len(looks) and not task.drawn:
        return  # a network that learns without targets
    single = [str(ref.path) for p in pairings for ref in p.without_target] + bare
    lost = [str(path) for p in pairings for path in p.without_source]
    single = list(dict.fromkeys(single))
    if task.name == "detect":
        yield from boxes.check_unannotated(single)
        single = []
    yield from shapes.check_partners(single, lost, word, drawn=task.drawn)


def _set(
    looks: Sequence[Look], task: Task, ndim: int | None, patch_size: Sequence[int] | None, network: str
) -> Iterator[Finding]:
    """What only the images together tell."""
    sizes = {look.file: look.size for look in looks if look.size is not None}
    ranges = {look.file: look.range for look in looks if look.range is not None}
    yield from shapes.check_dimensions(sizes, ndim)
    yield from shapes.check_channels(sizes)
    yield from shapes.check_patch({f: sizes[f] for f in _training(looks) if f in sizes}, patch_size)
    yield from shapes.check_depths(sizes)
    yield from intensities.check_types({f: r.dtype for f, r in ranges.items()})
    yield from intensities.check_ranges(ranges, own_scale=network not in _SHARED_SCALE)
    yield from intensities.check_all_constant(
        [look.file for look in looks if look.constant], sum(look.read for look in looks)
    )
    prints = [p for look in looks for p in look.prints]
    if alone(task):  # a test image may be learned from, and frames of a movie differ in their noise
        prints = [replace(p, thumbnail=None) for p in prints if not p.test]
    yield from duplicates.check_duplicates(prints, separate_test=any(look.test for look in looks))


def _training(looks: Sequence[Look]) -> list[str]:
    return [look.file for look in looks if not look.test]


def _annotations(
    looks: Sequence[Look], task: Task, word: str, patch_size: Sequence[int] | None, classes: bool
) -> Iterator[Finding]:
    """What only the targets together tell."""
    drawn = [(look.target_file, look.boxes, look.test) for look in looks if look.boxes is not None]
    train, test = ([(f, found) for f, found, role in drawn if role is wanted] for wanted in (False, True))
    yield from box_classes.check_classes(train, test)
    yield from boxes.check_sizes([*train, *test])
    masks = {look.target_file: look.mask for look in looks if look.mask is not None}
    yield from labels.check_masks(masks, task.name, classes=classes)
    cut = [look for look in looks if getattr(look.sample.source, "region", None) and look.mask is not None]
    yield from objects.check_strips({look.sample.name: look.mask for look in cut if look.mask}, task.name)
    if task.owned == "labels":
        numbered = {f: m for f, m in masks.items() if m.kind == "objects" or m.objects == 1}
        yield from objects.check_object_sizes(numbered, patch_size)
        sizes = {look.target_file: look.size.shape for look in looks if look.size is not None}
        sized = {f: (m, sizes[f]) for f, m in numbered.items() if f in sizes}
        yield from objects.check_field_of_view(sized)
        # the border of a strip of an image cuts any object
        strips = {look.target_file for look in looks if getattr(look.sample.source, "region", None)}
        yield from borders.check_borders({f: found for f, found in sized.items() if f not in strips})
    else:
        yield from objects.check_thickness(masks, patch_size)
    yield from objects.check_unlabelled({look.file: look.unlabelled for look in looks})
    yield from _targets(looks, task, word)
    shifts = {look.file: look.shift for look in looks if look.shift is not None}
    exchanged = list(matching.check_matches([look.match for look in looks if look.match is not None], word))
    yield from exchanged
    if two_kinds(task) and not exchanged:
        yield from kinship.check_kinship(_one_a_group(looks), "images", f"{word}s")
    noises = {look.file: look.noise for look in looks if look.noise is not None}
    yield from intensities.check_noise(noises, "noisy images", f"{word}s")
    levels = {look.file: look.levels for look in looks if look.levels is not None}
    yield from intensities.check_stain(levels, task.source_label, f"{word}s")
    yield from alignment.check_shifts(shifts, word, {look.file: look.pixel_size for look in looks})


def _targets(looks: Sequence[Look], task: Task, word: str) -> Iterator[Finding]:
    """What the targets tell where they are images."""
    if not imaged(task):
        return
    yield from resizing.check_scales(
        [look.scale for look in looks if look.scale is not None],
        word,
        sum(look.target_size is not None for look in looks),
    )
    sizes = {look.target_file: look.target_size for look in looks if look.target_size is not None}
    yield from shapes.check_channels(sizes, f"{word}s")
    types = {look.target_file: look.target_type for look in looks if look.target_type}
    yield from intensities.check_types(types, word)


def _one_a_group(looks: Sequence[Look]) -> list[matching.Pair]:
    """One pair a movie, stack or well: the others show nearly the same, and would fit its target too."""
    first: dict[str, matching.Pair] = {}
    for look in looks:
        if look.match is not None:
            first.setdefault(look.sample.group, look.match)
    return list(first.values())


def _row(look: Look) -> dict[str, Any]:
    assert look.size is not None and look.range is not None
    row: dict[str, Any] = {
        "image": look.sample.name,
        "role": "test" if look.test else "train",
        "size": size_text(look.size.shape),
        "channels": look.size.channels,
        "type": look.range.dtype,
        "grey values (1-99.8 %)": f"{look.range.low:.4g} to {look.range.high:.4g}",
        "pixel size (µm)": " x ".join(f"{p:.4g}" for p in look.pixel_size or ()) or "unknown",
    }
    if look.mask is not None:
        row["target"] = look.mask.kind
        row["objects"] = look.mask.objects
    if look.boxes is not None:
        row["objects"] = len(look.boxes)
    return row
