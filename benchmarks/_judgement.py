"""Records of judged windows: kept in files, summed up in tables, held against what must be reached."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

import riskloop
from benchmarks.judging import COVARIATE, Record

Rows = list[dict[str, Any]]

QUIET: Final = ("stable", "not_enough_data")
OUTCOME: Final = ("concept_drift", "prior_shift")  # what can be seen when outcomes are final, and not before
SUDDEN: Final = ("new_channel_sudden", "policy_change")
LARGE_PSI: Final = 0.2
LARGE_AUC: Final = 0.05
LARGE_RATE: Final = 0.2  # of the default rate
SIZE: Final = 2_000  # rows of the windows in which a change must be found

# What records depend on: files and folders of the package, and of the benchmarks.
PLAYERS: Final = ("core", "data", "train", "loop/champion.py", "benchmarks/streams.py")
JUDGES: Final = (*PLAYERS, "decide", "monitor", "loop/examine.py", "benchmarks/judging.py")


# --------------------------------------------------------------------------- kept


class Kept:
    """Records in a folder, a file for each world and size: an interrupted run goes on where it stopped.

    Files made by other code are not read: their names carry a hash of everything that the records depend on.
    """

    def __init__(self, folder: Path | None, code: Sequence[str]) -> None:
        self.folder, self.code = folder, _fingerprint(code)
        self._held: dict[str, Rows] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Rows | None:
        """The records kept under ``key``; without a folder, those of this run."""
        path = self._path(key)
        if path is None or not path.exists():
            return self._held.get(key)
        kept: Rows = json.loads(path.read_text(encoding="utf-8"))
        return kept

    def put(self, key: str, records: Rows) -> None:
        """Keep ``records``; a reader sees all of them or none."""
        path = self._path(key)
        if path is None:
            self._held[key] = records
            return
        part = path.with_suffix(".part")
        part.write_text(json.dumps(records), encoding="utf-8")
        part.replace(path)

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}-{self.code}.json"


def _fingerprint(code: Sequence[str]) -> str:
    package, here = Path(riskloop.__file__).parent, Path(__file__).parent
    digest = hashlib.sha256()
    for name in code:
        root = here.parent / name if name.startswith("benchmarks/") else package / name
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# --------------------------------------------------------------------------- tables


def summary(records: Sequence[Record], beside: Rows) -> dict[str, Rows]:
    """The tables."""
    keys = sorted({(r["source"], r["size"]) for r in records}, key=lambda key: (key[0], key[1]))
    groups = {key: [r for r in records if (r["source"], r["size"]) == key] for key in keys}
    return {
        "false alarms": [_false_alarms(*key, rows) for key, rows in groups.items()],
        "detection": [row for key, rows in groups.items() for row in _detection(*key, rows)],
        "faults": [_faults(*key, rows) for key, rows in groups.items()],
        "faults by kind": _faults_by_kind(records),
        "confusion": _confusion(records),
        "estimated AUC": [row for key, rows in groups.items() for row in _estimates(*key, rows)],
        "Evidently": _evidently_table(beside),
    }


def _false_alarms(source: str, size: int, rows: Sequence[Record]) -> dict[str, Any]:
    stable = [r for r in rows if r["truth"] == "stable"]
    return {
        "source": source,
        "rows": size,
        "windows": len(stable),
        "at closing": share(r["closing"][0] not in QUIET for r in stable),
        "with outcomes": share(r["final"][0] not in QUIET for r in stable),
        "confirmed": share(r["final"][1] for r in stable),
        "any PSI > 0.1": share(r["any_psi"] for r in stable),
    }


def _runs(rows: Iterable[Record]) -> dict[tuple[str, int, str], list[Record]]:
    """The changed streams of one size, each in the order of its windows."""
    runs: dict[tuple[str, int, str], list[Record]] = defaultdict(list)
    for r in rows:
        if r["truth"] != "stable" or r["scenario"] == "recurring":
            runs[r["source"], r["seed"], r["scenario"]].append(r)
    return runs


def _delay(run: Sequence[Record], look: str) -> int | None:
    """Windows until something was found."""
    return next((k + 1 for k, r in enumerate(run) if r[look][0] not in QUIET), None)


def _look(run: Sequence[Record]) -> str:
    return "final" if any(r["truth"] in OUTCOME for r in run) else "closing"


def _detection(source: str, size: int, rows: Sequence[Record]) -> Rows:
    table = []
    for name in dict.fromkeys(r["scenario"] for r in rows):
        runs = list(_runs(r for r in rows if r["scenario"] == name and r["truth"] != "data_fault").values())
        if not runs:
            continue
        look = _look(runs[0])
        delays = [_delay(run, look) for run in runs]
        seen = [delay for delay in delays if delay is not None]
        changed = [r for run in runs for r in run if r["truth"] != "stable"]
        table.append(
            {
                "source": source,
                "rows": size,
                "scenario": name,
                "truth": changed[0]["truth"],
                "runs": len(runs),
                "PSI score": float(np.median([r["score_psi"] for r in changed])),
                "PSI feature": float(np.median([r["feature_psi"] for r in changed])),
                "AUC moves": float(np.median([r["auc_moves"] for r in changed])),
                "rate moves": float(np.median([r["rate_moves"] for r in changed])),
                "in 2 windows": share(delay is not None and delay <= 2 for delay in delays),
                "confirmed in 2": share(any(r[look][1] for r in run[:2]) for run in runs),
                "delay": float(np.mean(seen)) if seen else None,
                "right": share(r[look][0] == r["truth"] for r in changed if r[look][0] not in QUIET),
            }
        )
    return table


def _faults(source: str, size: int, rows: Sequence[Record]) -> dict[str, Any]:
    faulty = [r for r in rows if r["truth"] == "data_fault"]
    others = [r for r in rows if r["truth"] != "data_fault"]
    real = [r for r in others if r["truth"] != "stable"]
    return {
        "source": source,
        "rows": size,
        "faulty windows": len(faulty),
        "called faults": share(r["closing"][0] == "data_fault" for r in faulty),
        "changed windows": len(real),
        "changes called faults": share(r["closing"][0] == "data_fault" for r in real),
        "stable called faults": share(r["closing"][0] == "data_fault" for r in others if r["truth"] == "stable"),
    }


def _faults_by_kind(records: Sequence[Record]) -> Rows:
    """The share of faulty windows that were called so, by fault; a column for each source and size."""
    faulty = [r for r in records if r["truth"] == "data_fault"]
    columns = sorted({(r["source"], r["size"]) for r in faulty})
    return [
        {
            "fault": name,
            **{
                f"{source}, {size:,}": share(
                    r["closing"][0] == "data_fault"
                    for r in faulty
                    if (r["scenario"], r["source"], r["size"]) == (name, source, size)
                )
                for source, size in columns
            },
        }
        for name in dict.fromkeys(r["scenario"] for r in faulty)
    ]


def _confusion(records: Sequence[Record]) -> Rows:
    """Windows by what is true and what was diagnosed with all outcomes; slow changes begin small."""
    counts: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for r in records:
        counts[r["size"], r["truth"]][r["final"][0]] += 1
    answers = sorted({answer for row in counts.values() for answer in row})
    return [
        {"rows": size, "truth": truth, **{a: row[a] for a in answers}} for (size, truth), row in sorted(counts.items())
    ]


def _estimates(source: str, size: int, rows: Sequence[Record]) -> Rows:
    """How often the 95% bands hold, by method."""
    table = []
    for method in ("cbpe", "pape"):
        judged = [r for r in rows if r["scenario"] in COVARIATE and method in r]
        known = [r for r in judged if "true_auc" in r]
        if judged:
            errors = [r[method][0] - r["realised_auc"] for r in judged]
            table.append(
                {
                    "source": source,
                    "rows": size,
                    "method": method,
                    "runs": len(judged),
                    "realised in band": share(_within(r, method, "realised_auc") for r in judged),
                    "true in band": share(_within(r, method, "true_auc") for r in known),
                    "mean error": float(np.mean(errors)),
                    "band": float(np.mean([r[method][2] - r[method][1] for r in judged])),
                }
            )
    return table


def _within(record: Record, method: str, measure: str) -> bool:
    return bool(record[method][1] <= record[measure] <= record[method][2])


def _evidently_table(beside: Rows) -> Rows:
    table = []
    for source, size in sorted({(row["source"], row["size"]) for row in beside}):
        rows = [row for row in beside if (row["source"], row["size"]) == (source, size)]
        for truth in dict.fromkeys(row["truth"] for row in rows):
            part = [row for row in rows if row["truth"] == truth]
            entry: dict[str, Any] = {"source": source, "rows": size, "truth": truth, "windows": len(part)}
            for method in ("preset", "psi"):
                entry[f"{method}: any column"] = share(row[method] > 0.0 for row in part)
                entry[f"{method}: half"] = share(row[method] >= 0.5 for row in part)
            table.append(entry)
    return table


def share(truths: Any) -> float | None:
    """The share of true ones; None of nothing."""
    values = [bool(value) for value in truths]
    return sum(values) / len(values) if values else None


# --------------------------------------------------------------------------- goals


def goal(name: str, value: float | None, bound: float, least: bool, of: int | None = None) -> dict[str, Any]:
    """One target; without a value it was not measured, and so not reached."""
    reached = value is not None and (value >= bound if least else value <= bound)
    return {"goal": name, "value": value, "bound": bound, "of": of, "reached": reached}


def goals(records: Sequence[Record]) -> Rows:
    """What must be reached, over both sources."""
    found = []
    for size in sorted({r["size"] for r in records}):
        stable = [r for r in records if r["size"] == size and r["truth"] == "stable"]
        alarms = [r["final"][0] not in QUIET for r in stable]
        found.append(_share_goal(f"false alarms, stable windows of {size:,} rows", alarms, 0.01, least=False))
    runs = list(_runs(r for r in records if r["size"] == SIZE).values())
    found.append(_share_goal(f"sudden shifts found in 2 windows of {SIZE:,}", _found(runs, _large_shift), 0.95))
    found.append(
        _share_goal(f"concept and prior changes found in 2 windows of {SIZE:,}", _found(runs, _large_change), 0.90)
    )
    faulty = [r for r in records if r["truth"] == "data_fault"]
    real = [r for r in records if r["truth"] not in ("data_fault", "stable")]
    found.append(_share_goal("faulty windows called faults", [_fault(r) for r in faulty], 0.95))
    found.append(_share_goal("changed windows called faults", [_fault(r) for r in real], 0.02, least=False))
    judged = [r for r in records if r["scenario"] in COVARIATE and "pape" in r]
    inside = [_within(r, "pape", "realised_auc") for r in judged]
    found.append(_share_goal("realised AUC within the estimate's 95% band", inside, 0.90))
    return found


def _share_goal(name: str, truths: Sequence[bool], bound: float, least: bool = True) -> dict[str, Any]:
    return goal(name, share(truths), bound, least, len(truths))


def _found(runs: Sequence[list[Record]], counts: Callable[[list[Record]], bool]) -> list[bool]:
    delays = [_delay(run, _look(run)) for run in runs if counts(run)]
    return [delay is not None and delay <= 2 for delay in delays]


def _large_shift(run: list[Record]) -> bool:
    first = run[0]
    return first["scenario"] in SUDDEN and max(first["score_psi"], first["feature_psi"]) >= LARGE_PSI


def _large_change(run: list[Record]) -> bool:
    first = run[0]
    large = abs(first["auc_moves"]) >= LARGE_AUC or abs(first["rate_moves"]) >= LARGE_RATE
    return first["truth"] in OUTCOME and large


def _fault(record: Record) -> bool:
    return bool(record["closing"][0] == "data_fault")
