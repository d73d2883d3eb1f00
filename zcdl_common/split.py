"""Which images train, which choose, which judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zcdl_common.config import Config
from zcdl_common.errors import DataError
from zcdl_common.task import Domain, Sample, Split


def by_group(
    samples: Sequence[Sample], config: Config, test: Sequence[Sample] = (), *, divide: bool = False
) -> Split:
    """Divide by group: no movie, stack or well stands on both sides.

    Parameters
    ----------
    divide
        Whether the images of a single group may be divided all the same: what learns from the very images
        that it is used on has nothing to hold out.

    Raises
    ------
    DataError
        There is one group only, so nothing can be held out.
    """
    group = {sample.name: sample.group for sample in samples}
    if divide and len(set(group.values())) == 1:
        group = {name: name for name in group}
    groups = sorted(set(group.values()))
    if len(groups) == 1:
        raise DataError(
            f"All {len(samples)} images belong to one group ({groups[0]}), so none can be held out to judge "
            "the training. Add images of another movie, stack or well; or, where the frames of a file show "
            r"different fields, make each a group of its own with group_by = t\d+."
        )
    order = np.random.default_rng([config.seed, 0]).permutation(groups).tolist()
    n_test = 0
    if not test and config.test_fraction > 0 and len(groups) > 2:
        n_test = min(max(1, round(config.test_fraction * len(groups))), len(groups) - 2)
    left = len(groups) - n_test
    least = 2 if left >= 8 else 1  # a single image is a poor judge of epochs and thresholds
    n_validation = min(max(least, round(config.validation_fraction * left)), left - 1)
    roles = {g: "test" if i < n_test else "validation" if i < n_test + n_validation else "train"
             for i, g in enumerate(order)}  # fmt: skip
    by_role = {
        role: tuple(s for s in samples if roles[group[s.name]] == role)
        for role in ("train", "validation", "test")
    }
    single = "frames" if any(getattr(s.source, "frame", None) is not None for s in samples) else "files"
    what = single if len(groups) == len(samples) else "groups of files"
    held = f"the test images are a folder of their own ({len(test)})" if test else f"{n_test} for the test"
    note = (
        f"The {len(groups)} {what} were divided at random (seed {config.seed}) before anything was cut: "
        f"{len(groups) - n_test - n_validation} for training, {n_validation} for validation; {held}."
    )
    return Split(by_role["train"], by_role["validation"], tuple(test) or by_role["test"], note=note)


def unlike(test: Sequence[Sample]) -> str:
    """Name test images that are partners by name but, for their sizes, not compared; empty where none are."""
    sizes: dict[str, dict[Domain, tuple[int, ...]]] = {}
    for one in test:
        sizes.setdefault(one.source.name, {})[one.domain] = one.size  # type: ignore[attr-defined]
    found = [name for name, both in sizes.items() if len(set(both.values())) > 1]
    if not found:
        return ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return (
        f"Of the test images, {found[0]}{more} and its partner differ in size, so they are not compared: "
        "partners show the same field in equally many pixels."
    )
