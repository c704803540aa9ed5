"""Bins of a model's features with what they tell of default, and other bins tried on the same rows.

A scorecard's bins are its own; of other models a number has its deciles and a category its levels.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import structs

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.manifest import ModelManifest
from riskloop.core.schema import Feature
from riskloop.core.stats import MISSING, Bins, Evidence, bin_evidence, fit_numeric_bins, order_fault
from riskloop.core.types import Bools, Floats, Ints, Json
from riskloop.scoring.preparation import FILE, load_preparation
from riskloop.store.artefacts import Artefact

if TYPE_CHECKING:
    import pandas as pd

ROWS: Final = "reference.npy"
OUTCOMES: Final = "reference_target.npy"


@dataclass(frozen=True)
class BinTable:
    """Bins of one feature with weights of evidence and information value, over rows with a known outcome.

    `merge`, `split` and `set_special` give another table; `save` makes the next scorecard use it. Bins are
    numbered from 0, as `frame` shows them.
    """

    feature: Feature  # with its bins, groups and special codes
    values: Floats  # (n,) codes of a category; NaN is missing
    defaults: Bools  # (n,)
    keep: Callable[["BinTable", str], Json] | None = field(default=None, repr=False, compare=False)  # for `save`

    @cached_property
    def evidence(self) -> Evidence:
        """Rows, defaults, weight of evidence and part of the information value of every bin."""
        return bin_evidence(self._places, self.defaults, len(self.labels))

    @property
    def value(self) -> float:
        """The information value."""
        return self.evidence.value

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The bins in their order: values or levels, special codes, missing."""
        codes = tuple(f"{code:g}" for code in self.feature.special)
        return (*self._plain, *codes, MISSING)

    @property
    def rows(self) -> list[Json]:
        """One a bin: feature, bin, rows, defaults, rate, woe, iv. Missing is left out where nothing is."""
        found = zip(self.labels, *(getattr(self.evidence, name) for name in ("rows", "defaults", "woe", "parts")))  # noqa: B905
        return [
            {
                "feature": self.feature.name,
                "bin": label,
                "rows": int(n),
                "defaults": int(bad),
                "rate": float(bad / n) if n else None,
                "woe": float(woe),
                "iv": float(part),
            }
            for label, n, bad, woe, part in found
            if n or label != MISSING
        ]

    @property
    def fault(self) -> str | None:
        """Where the bins break the order that `monotone` asks for by more than chance, or None."""
        if not self.feature.monotone or self.feature.kind == "category":
            return None
        e, n = self.evidence, len(self._plain)
        return order_fault(self.feature.name, self.labels, e.rows[:n], e.defaults[:n], self.feature.monotone)

    def merge(self, *bins: int) -> "BinTable":
        """The bins of these numbers as one; those of a number must be neighbours. Raises ConfigError."""
        chosen = sorted(set(bins))
        if len(chosen) < 2 or chosen[0] < 0 or chosen[-1] >= len(self._plain):
            raise ConfigError(f"Name two bins or more of '{self.feature.name}', from 0 to {len(self._plain) - 1}.")
        if self.feature.kind == "category":
            joined = tuple(level for i in chosen for level in self._groups[i])
            groups = [group for i, group in enumerate(self._groups) if i not in chosen]
            return self._with(groups=(*groups[: chosen[0]], joined, *groups[chosen[0] :]))
        if chosen != list(range(chosen[0], chosen[-1] + 1)):
            raise ConfigError(
                f"Bins {chosen} of '{self.feature.name}' are not neighbours; numbers are merged in order."
            )
        bounds = self.feature.bins
        return self._with(bins=(*bounds[: chosen[0]], *bounds[chosen[-1] :]))

    def split(self, at: float | str) -> "BinTable":
        """A number's bin cut at ``at``, which belongs to the lower part; of a category the level alone.

        Raises ConfigError where there is nothing to split.
        """
        if self.feature.kind == "category":
            if at not in self.feature.codes:
                raise ConfigError(f"'{at}' is no level of '{self.feature.name}'.")
            left = [tuple(level for level in group if level != at) for group in self._groups]
            return self._with(groups=(*(group for group in left if group), (str(at),)))
        return self._with(bins=tuple(sorted({*self.feature.bins, float(at)})))

    def set_special(self, *codes: float) -> "BinTable":
        """These numbers as codes with a bin each, outside any order. Raises ConfigError for a category."""
        return self._with(special=tuple(map(float, codes)))

    def toml(self) -> str:
        """The lines of riskloop.toml that make the next scorecard use these bins.

        Raises ConfigError where they break the order that `monotone` asks for.
        """
        if self.fault is not None:
            raise ConfigError(f"{self.fault[0].upper()}{self.fault[1:]}.")
        lines = [f"[features.{json.dumps(self.feature.name, ensure_ascii=False)}]"]
        if self.feature.kind == "category":
            joined = [group for group in self._groups if len(group) > 1]
            lines.append(f"groups = {json.dumps(joined, ensure_ascii=False)}")
        else:
            lines.append(f"bins = {_numbers(self.feature.bins)}")
        if self.feature.special:
            lines.append(f"special = {_numbers(self.feature.special)}")
        return "\n".join(lines).replace("\x7f", r"\u007f")

    def save(self, note: str) -> Json:
        """Write the bins into riskloop.toml, for the next training, and on record with who did it and why.

        Returns what they were and are. Raises ConfigError without a note, where they break `monotone`, or where the
        table comes from no open portfolio; StorageError.
        """
        if self.keep is None:
            raise ConfigError("These bins come from no open portfolio: ask Portfolio.bins for them.")
        return self.keep(self, note)

    def frame(self) -> "pd.DataFrame":
        """`rows` as a frame."""
        import pandas as pd

        return pd.DataFrame(self.rows).drop(columns="feature")

    def __repr__(self) -> str:
        return f"{self._sentence}\n{self.frame().to_string(float_format='{:.4f}'.format)}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._sentence)}</p>{self.frame().to_html(escape=True, na_rep='')}"

    @property
    def _sentence(self) -> str:
        said = f"{self.feature.name}: information value {self.value:.3f} over {len(self.values):,} rows."
        return said if self.fault is None else f"{said} But {self.fault}."

    @cached_property
    def _groups(self) -> tuple[tuple[str, ...], ...]:
        """Those that were made, then the levels that stand alone, in their order."""
        named = {level for group in self.feature.groups for level in group}
        return (*self.feature.groups, *((level,) for level in self.feature.categories if level not in named))

    @property
    def _plain(self) -> tuple[str, ...]:
        """Labels of the bins that are neither codes nor missing."""
        if self.feature.kind == "category":
            return tuple(", ".join(group) for group in self._groups)
        return Bins("intervals", self.feature.bins).labels[:-1]

    @cached_property
    def _places(self) -> Ints:
        last = len(self.labels) - 1
        if self.feature.kind == "category":
            of_level = {level: i for i, group in enumerate(self._groups) for level in group}
            table = np.array([*(of_level[level] for level in self.feature.categories), last])
            known = np.where(np.isnan(self.values), len(table) - 1, self.values).astype(np.int64)
            return table[np.minimum(known, len(table) - 1)]
        places = Bins("intervals", self.feature.bins).assign(self.values)
        places[np.isnan(self.values)] = last
        for i, code in enumerate(self.feature.special, start=len(self._plain)):
            places[self.values == code] = i
        return places

    def _with(self, **changes: object) -> "BinTable":
        return replace(self, feature=structs.replace(self.feature, **changes))


def bin_tables(artefact: Artefact[ModelManifest]) -> list[BinTable]:
    """One a column of a scorecard, or an input of another model, over the rows that the artefact keeps of its training.

    They are those of the training that were tested out of fold, at most `drift.reference_rows`. Empty where the
    artefact keeps none, or outcomes of one kind only.
    """
    manifest = artefact.manifest
    if not {ROWS, OUTCOMES} <= set(artefact.contents):
        return []
    rows, outcomes = (np.load(io.BytesIO(artefact.bytes(file)), allow_pickle=False) for file in (ROWS, OUTCOMES))
    known = ~np.isnan(outcomes)
    defaults: Bools = outcomes[known] == 1.0
    if defaults.all() or not defaults.any():
        return []
    X, schema = manifest.schema.model_matrix(np.asarray(rows, dtype=np.float64)[known]), manifest.schema
    inputs = [schema.features[j] for j in schema.model_columns]
    if not manifest.model_file.endswith(".json"):
        return [BinTable(found_bins(f, x), x, defaults) for f, x in zip(inputs, X.T, strict=True)]
    names: Sequence[str] = [feature.name for feature in inputs]
    if FILE in artefact.contents:
        preparation = load_preparation(artefact.bytes(FILE), str(artefact.path / FILE))
        names, X = preparation.names, preparation.matrix(X)
    card = json.loads(artefact.bytes(manifest.model_file))["features"]
    kept = {feature.name: feature for feature in inputs}
    tables = []
    for name, entry, x in zip(names, card, X.T, strict=True):
        feature = kept.get(name, Feature(name))
        if feature.kind != "category":
            codes = tuple(float(code) for code, _ in entry.get("special", ()))
            bounds = tuple(float(bound) for bound in entry["bounds"])
            feature = structs.replace(feature, bins=bounds, special=codes)
        tables.append(BinTable(feature, x, defaults))
    return tables


def found_bins(feature: Feature, values: Floats) -> Feature:
    """The feature with the deciles of its values (n,) as bins, or a bin a value where there are few."""
    if feature.kind == "category":
        return feature
    plain = values[~np.isin(values, feature.special)]
    found = fit_numeric_bins(plain)
    return structs.replace(feature, bins=found.points if found.kind == "intervals" else found.points[:-1])


def bin_table(artefact: Artefact[ModelManifest], name: str) -> BinTable:
    """That of one column. Raises ConfigError for one that the model does not read, DataError without rows."""
    tables = {table.feature.name: table for table in bin_tables(artefact)}
    if not tables:
        raise DataError("The artefact keeps no rows of its training with outcomes of both kinds.")
    if name not in tables:
        raise ConfigError(f"There are no bins of '{name}'; there are those of {', '.join(tables)}.")
    return tables[name]


def _numbers(values: Sequence[float]) -> str:
    """As TOML writes them, exactly."""
    return f"[{', '.join(str(int(v)) if v.is_integer() and abs(v) < 1e15 else repr(v) for v in values)}]"
