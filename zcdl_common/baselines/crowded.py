"""Emitters that overlap: fits take turns in what the others leave of a frame, which is searched anew."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from zcdl_common.baselines import gaussian_fit, spots
from zcdl_common.task import Array

ROUNDS, STEPS, FIT_STEPS = 4, 6, 3
"""Searches, fits of all emitters after each, and steps of such a fit: others move before it is done."""
SHARE = 0.5
"""Of the way to its new fit that an emitter goes: neighbours that move at once would overshoot."""
APART = 0.8
"""Pixels from all known emitters that a new one has to be."""
MOST_STEP = 1.0
"""Pixels; an emitter that would jump further is given up."""


def search(
    frames: Array, kind: spots.Filter, factor: float, scale: float, radius: int, sigma: float
) -> tuple[Array, gaussian_fit.Spots, Array]:
    """Find spots of one width in what the known ones leave of the frames, by least squares.

    As in DAOSTORM, but for fits that take turns in place of one fit of all neighbours.

    Parameters
    ----------
    frames
        TYX.
    kind, factor, scale
        Of `spots.find`; spots that alone would be lower are given up. The noise is that of the frames.
    radius
        Of the windows, in pixels beside the brightest.
    sigma
        Standard deviation of a spot in pixels.

    Returns
    -------
    frame : ndarray of int
        Index (N,).
    found : Spots
        In pixels from the corner of the frame; background with the light of the others.
    height : ndarray
        Of each spot if it were alone, in units of the noise (N,).

    References
    ----------
    Holden, Uphoff, Kapanidis 2011, doi:10.1038/nmeth0411-279 (DAOSTORM); Babcock et al. 2012,
    doi:10.1186/2192-2853-1-6.
    """
    frames = np.asarray(frames, float)
    noise = spots.filtered(frames, kind, scale)[1]
    one = gaussian_fit.draw(np.full((1, 2), 10.5), sigma, (21, 21))
    alone = float(spots.filtered(one[None], kind, scale)[0].max())  # height of a spot of 1
    frame, yx, total = np.zeros(0, np.intp), np.zeros((0, 2)), np.zeros(0)
    background, left = np.zeros(0), frames
    for _ in range(ROUNDS):
        new = spots.find(left, kind, factor, scale, noise)
        places = new.at[:, 1:] + 0.5
        far = _distances(new.at[:, 0], places, frame, yx) > APART
        if not far.any():
            break
        frame = np.concatenate([frame, new.at[far, 0]])
        yx = np.concatenate([yx, places[far]])
        total = np.concatenate([total, (new.height * noise[new.at[:, 0], 0, 0] / alone)[far]])
        for _ in range(STEPS):
            left = frames - _light(frame, yx, total, sigma, frames.shape)
            at = np.column_stack([frame, np.floor(yx).astype(np.intp)])
            values, inside, corner = spots.windows(left, at, radius)
            own = total[:, None, None] * gaussian_fit.shapes(yx - corner, sigma, values.shape[1])
            values += own
            before = gaussian_fit.spots_at(yx - corner, values, inside, sigma)
            found = gaussian_fit.fit(values, inside, sigma, start=before, steps=FIT_STEPS)
            step = SHARE * (found.yx + corner - yx)
            yx, total = yx + step, total + SHARE * (found.total - total)
            middle = values.shape[1] // 2
            others = frames[tuple(at.T)] - values[:, middle, middle]
            background = found.background + others
            keep = (np.abs(step).max(1, initial=0) < SHARE * MOST_STEP) & (
                total * alone > factor * noise[frame, 0, 0]
            )
            keep &= (yx >= 0).all(1) & (yx < frames.shape[1:]).all(1)
            frame, yx, total, background = frame[keep], yx[keep], total[keep], background[keep]
        left = frames - _light(frame, yx, total, sigma, frames.shape)
    height = total * alone / noise[frame, 0, 0]
    return frame, gaussian_fit.Spots(yx, total, background, np.full(len(yx), sigma)), height


def _light(frame: Array, yx: Array, total: Array, sigma: float, shape: tuple[int, ...]) -> Array:
    """All spots of all frames: TYX."""
    light = np.zeros(shape)
    for t in np.unique(frame):
        on = frame == t
        light[t] = gaussian_fit.draw(yx[on], sigma, (shape[1], shape[2]), total[on])
    return light


def _distances(frame: Array, yx: Array, known_frame: Array, known: Array) -> Array:
    """From each place to the nearest known one in its frame, as far as that is near."""
    apart = 4 * APART
    if not len(known) or not len(yx):
        return np.full(len(yx), np.inf)
    tree = cKDTree(np.column_stack([apart * known_frame, known]))
    return np.asarray(tree.query(np.column_stack([apart * frame, yx]), distance_upper_bound=apart)[0])
