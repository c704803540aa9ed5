"""Evidently's own verdicts, beside the monitor's."""

from collections.abc import Sequence

from benchmarks._judgement import Rows
from benchmarks.streams import World, course_of
from riskloop.core.types import Floats
from riskloop.simulation import SCENARIOS


def evidently(world: World, sizes: Sequence[int]) -> Rows:
    """Evidently's own verdicts: the stable windows, and the first changed one of every change that is no fault.

    It has no verdict for faults, and takes seconds a window.
    """
    found = []
    for size in sizes:
        for name, scenario in SCENARIOS.items():
            course = course_of(name, world.name, size)
            if course is None or scenario.is_fault or name in ("small_windows", "seasonal_mix", "recurring"):
                continue
            windows = list(world.windows(name, size, course))
            chosen = windows if scenario.diagnosis == "stable" else windows[course.before : course.before + 1]
            for window in chosen:
                row = {"source": world.name, "scenario": name, "size": size, "truth": window.truth.diagnosis.value}
                for method in ("preset", "psi"):
                    row[method] = preset_share(world.champion.features, window.rows.features, method)
                found.append(row)
    return found


def preset_share(reference: Floats, window: Floats, method: str = "preset") -> float:
    """The share of columns that Evidently's preset calls drifted."""
    from riskloop.monitor.drift import _quiet

    with _quiet():
        import pandas as pd
        from evidently import Report
        from evidently.presets import DataDriftPreset

        options = {} if method == "preset" else {"num_method": "psi", "cat_method": "psi"}
        names = [f"c{j}" for j in range(reference.shape[1])]
        frames = [pd.DataFrame(rows, columns=names).dropna(axis=1, how="all") for rows in (window, reference)]
        common = [name for name in names if name in frames[0] and name in frames[1]]
        snapshot = Report([DataDriftPreset(**options)]).run(*(frame[common] for frame in frames))
    value = snapshot.dict()["metrics"][0]["value"]
    return float(value["share"])
