"""Which of the found things is which of the true ones: one to one, as many as possible."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zcdl_common.task import Array

TOGETHER = 256
"""About how many pairs are solved at once where groups are small: each call has a price of its own."""


def assign(i: Array, j: Array, gain: Array) -> Array:
    """Choose pairs so that nothing is in two of them; exact.

    As many pairs as possible; among equally many, those with the highest sum of gains. The assignment is
    solved for groups of things that compete, so that neither lone pairs nor many frames cost much.

    Parameters
    ----------
    i, j
        Numbers of a true and a found thing, from 0, of each pair that could be, integer (P,); no pair twice.
    gain
        How good each pair would be, in [0, 1], (P,).

    Returns
    -------
    Array
        Places of the chosen pairs, ascending.
    """
    alone = (np.bincount(i)[i] == 1) & (np.bincount(j)[j] == 1) if i.size else np.zeros(0, bool)
    contested = [_assigned(i, j, gain, group) for group in _groups(i, j, np.flatnonzero(~alone))]
    return np.sort(np.concatenate([np.flatnonzero(alone), *contested]))


def _groups(i: Array, j: Array, among: Array) -> Iterator[Array]:
    """Divide pairs so that those that share things, directly or through others, stay together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not among.size:
        return
    first = int(i.max()) + 1
    nodes = first + int(j.max()) + 1
    edges = (np.ones(len(among), bool), (i[among], first + j[among]))
    _, member = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)
    member = member[i[among]]
    order = np.argsort(member, kind="stable")
    ends = np.flatnonzero(np.diff(member[order])) + 1
    yield from np.split(among[order], ends[np.diff(ends // TOGETHER, prepend=0) > 0])


def _assigned(i: Array, j: Array, gain: Array, group: Array) -> Array:
    from scipy.optimize import linear_sum_assignment

    rows, row = np.unique(i[group], return_inverse=True)
    columns, column = np.unique(j[group], return_inverse=True)
    value = np.zeros((len(rows), len(columns)))
    # one more pair outweighs any sum of gains
    value[row, column] = 1 + gain[group] / (2 * min(value.shape))
    best = np.zeros(value.shape, bool)
    best[linear_sum_assignment(value, maximize=True)] = True
    return group[best[row, column]]
