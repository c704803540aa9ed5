"""The champion of a first training against tuned LightGBM, XGBoost and CatBoost, on histories of many shapes.

    nice -n 19 python -m benchmarks.learners [--quick] [--kept FOLDER] [--into docs/training.md] [SHAPE ...]
    python -m benchmarks.learners --data FILE.csv --target COL

Every model learns from the same rows and is judged on the same others. The rivals' depth and number of trees are chosen
by early stopping on a fifth of the customers, then they are fitted to all rows; optbinning's scorecard chooses its
penalty so. Those that are not installed (pip install 'riskloop[bench]') are skipped, with a word. `gap` is the best
rival's AUC minus the champion's, beside 95% of the error of the pair; `ece` the calibration error over ten grades,
beside its 95% limit by chance; `time` the processor time of the training per learner, in times of one LightGBM fit with
early stopping. With --data a CSV without dates is cut in two. A run with --kept goes on where it stopped: rivals'
scores and finished lines are kept in the folder; --again plays the champion again against the rivals that are kept.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._rivals import RIVALS, Table, installed, lightgbm_rival
from benchmarks._shapes import SHAPES, Shape, make
from benchmarks.conditions import write_into
from riskloop.core.settings import parse_settings
from riskloop.core.stats import auc, customer_codes, paired_delong, recalibrate
from riskloop.core.types import Floats, Json
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.train.fit import fit

QUICK: Final = ("few", "home_equity", "gaps", "code_tree")
HARMLESS_GAP, HARMLESS_ECE, HARMLESS_TIME = 0.003, 0.01, 5.0
HEADER: Final = (
    "| history | rows | champion | AUC | best rival | AUC | gap | ECE (chance) | time | trees x leaves |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def calibration_error(p: Floats, y: Floats, learned: int, grades: int = 10) -> tuple[float, dict[str, float]]:
    """Mean distance of PD and rate over grades of equal size, and its 95% limits by chance.

    `perfect`: the PDs are the truth. `level`: the truth but for their level, which was learned from so many rows.
    `line`: but for a level and a slope, as Platt's line learns them; the errors are those of Fisher's information.
    """
    order = np.array_split(np.argsort(p, kind="stable"), grades)

    def error(pd: Floats, outcomes: Floats) -> float:
        return float(sum(abs(pd[g].mean() - outcomes[g].mean()) * len(g) for g in order) / len(p))

    rng = np.random.default_rng(0)
    z, spread = np.log(p / (1.0 - p)), p * (1.0 - p)
    level = learned * spread.mean()
    across, along = learned * (spread * z).mean(), learned * (spread * z * z).mean()
    errors = {
        "perfect": np.zeros((200, 2)),
        "level": np.column_stack((rng.normal(0.0, 1.0 / np.sqrt(level), 200), np.zeros(200))),
        "line": rng.multivariate_normal([0.0, 0.0], np.linalg.inv([[level, across], [across, along]]), 200),
    }
    limits = {}
    for name, lines in errors.items():
        truths = (1.0 / (1.0 + np.exp(-(shift + (1.0 + turn) * z))) for shift, turn in lines)
        chance = [error(p, (rng.random(len(p)) < truth).astype(np.float64)) for truth in truths]
        limits[name] = float(np.quantile(chance, 0.95))
    return error(p, y), limits


def from_file(path: Path, target: str) -> Shape:
    """A labelled CSV, of which seven tenths are learned from."""
    settings = parse_settings(infer_config(path, target=target))
    rows = rows_from(path, settings.row_schema, target="required", where=path.name)
    order = np.random.default_rng(0).permutation(len(rows))
    cut = int(0.7 * len(rows))
    return Shape(path.stem, settings, rows.take(np.sort(order[:cut])), rows.take(np.sort(order[cut:])))


def judge(shape: Shape, seed: int, rivals: Sequence[str], kept: Path | None) -> Json:
    """What the table says about one history."""
    table, y = Table(shape), np.asarray(shape.test.target)
    train = shape.settings.train.model_copy(update={"threads": 1})
    settings = shape.settings.model_copy(update={"train": train})
    started = time.process_time()
    candidate = fit(shape.train, settings)
    spent = time.process_time() - started
    p = candidate.predict(shape.test.features)
    scores, one_fit = lightgbm_rival(table)
    found = {"lightgbm": scores}
    for name in RIVALS:
        path = None if kept is None else kept / f"{shape.name}-{seed}-{name}.npy"
        if name in rivals or (path is not None and path.exists()):  # kept by a run in its own environment
            found[name] = kept_scores(name, table, path)
    areas = {name: auc(y, s) for name, s in found.items()}
    best = max(areas, key=lambda name: areas[name])
    pair = paired_delong(y, p, found[best], customers=customer_codes(shape.test.ids))
    ece, limits = calibration_error(p, y, int(np.unique(customer_codes(shape.train.ids)).size))
    size = candidate.manifest.training.size
    return {
        "history": shape.name,
        "seed": seed,
        "rows": len(shape.train),
        "columns": shape.train.features.shape[1],
        "champion": candidate.learner,
        "auc": auc(y, p),
        "rivals": areas,
        "best": best,
        "gap": pair.difference,
        "error": 1.96 * pair.std_error,
        "ece": ece,
        "chance": limits["level"],
        "limits": limits,
        "slope": recalibrate(y, p).slope,  # of the outcomes' log-odds over the PDs': 1 where PDs spread as they should
        "time": spent / len(train.learners) / one_fit,
        "seconds": [spent, one_fit],
        "size": f"{size.trees} x {size.leaves}" if size else "-",
    }


def kept_scores(name: str, table: Table, path: Path | None) -> Floats:
    """A rival's scores of the test rows, from the file where it has made them before."""
    if path is not None and path.exists():
        return np.asarray(np.load(path), dtype=np.float64)
    scores = RIVALS[name](table)
    if path is not None:
        np.save(path, scores)
    return scores


def line(row: Json) -> str:
    """A row of the table; what misses its aim is bold."""
    gap = f"{row['gap']:+.4f} ±{row['error']:.4f}"
    ece = f"{row['ece']:.4f} ({row['chance']:.4f})"
    cells = (
        str(row["history"]),
        f"{row['rows']:,} x {row['columns']}",
        str(row["champion"]),
        f"{row['auc']:.4f}",
        str(row["best"]),
        f"{row['rivals'][row['best']]:.4f}",
        gap if row["gap"] <= max(HARMLESS_GAP, row["error"]) else f"**{gap}**",
        ece if row["ece"] <= max(HARMLESS_ECE, row["chance"]) else f"**{ece}**",
        f"{row['time']:.1f}" if row["time"] <= HARMLESS_TIME else f"**{row['time']:.1f}**",
        str(row["size"]),
    )
    return f"| {' | '.join(cells)} |"


def rows_of(given: argparse.Namespace) -> Iterator[Json]:
    """One row after the other: those that are kept at once, the others when they are done."""
    kept: Path | None = given.kept
    done: dict[str, Json] = {}
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        if (kept / "rows.jsonl").exists():
            records = [json.loads(text) for text in (kept / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
            done = {f"{record['history']}-{record['seed']}": record for record in records}
    rivals = installed()
    names = given.shapes or ([] if given.data else QUICK if given.quick else SHAPES)
    histories = [(name, lambda name=name: make(name, given.seed)) for name in names]
    if given.data is not None:
        histories.append((given.data.stem, lambda: from_file(given.data, given.target)))
    fit(make("few").train, make("few").settings)  # the imports are paid for
    for name, history in histories:
        row = None if given.again else done.get(f"{name}-{given.seed}")
        if row is None:
            row = judge(history(), given.seed, rivals, kept)
            if kept is not None:
                with (kept / "rows.jsonl").open("a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")
        yield row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", choices=[[], *SHAPES], metavar="SHAPE")
    parser.add_argument("--quick", action="store_true", help="four small shapes")
    parser.add_argument("--data", type=Path, help="a labelled CSV beside the shapes that are named")
    parser.add_argument("--target", default="default.payment.next.month", help="its target")
    parser.add_argument("--seed", type=int, default=0, help="of the generated histories")
    parser.add_argument("--kept", type=Path, help="folder of what is finished; a run goes on from there")
    parser.add_argument("--again", action="store_true", help="train again what is kept; the rivals are not")
    parser.add_argument("--into", type=Path, help="a page whose table is renewed")
    given = parser.parse_args()
    print("\n".join(HEADER))
    table = list(HEADER)
    for row in rows_of(given):
        table.append(line(row))
        print(table[-1], flush=True)
    if given.into is not None:
        write_into(given.into, "\n".join(table), "learners")


if __name__ == "__main__":
    main()
