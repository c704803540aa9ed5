"""Midranks: the one sort behind AUC, DeLong's variance and the AUC that is estimated before labels."""

from typing import NamedTuple

import numpy as np

from riskloop.core.types import Floats


class Masses(NamedTuple):
    """Per row, how much of the opposite class is ranked on the right side of it; ties count half."""

    below: Floats  # non-default mass with a lower score
    above: Floats  # default mass with a higher score


def rank_masses(scores: Floats, default: Floats, weight: Floats | None = None) -> Masses:
    """``default`` holds the share of each row, shape (n,), that is a default: 0 or 1 for outcomes, a PD before them.

    With ``weight`` (n,) each row counts as so many.

    For outcomes these are the placements of DeLong et al. (1988), n₀·V₁₀ and n₁·V₀₁, by midranks in O(n log n) as in
    Sun & Xu, IEEE Signal Processing Letters 21 (2014) 1389–1393; whole and half numbers, so exact.
    """
    order = np.argsort(scores)
    ranked = scores[order]
    start = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    end = np.append(start[1:], scores.size)
    mass, other = (default, 1.0 - default) if weight is None else (default * weight, (1.0 - default) * weight)
    defaults = np.concatenate(([0.0], np.cumsum(mass[order])))
    others = np.concatenate(([0.0], np.cumsum(other[order])))
    ties = end - start
    below, above = np.empty(scores.size), np.empty(scores.size)
    below[order] = np.repeat((others[start] + others[end]) / 2.0, ties)
    above[order] = np.repeat(defaults[-1] - (defaults[start] + defaults[end]) / 2.0, ties)
    return Masses(below, above)
