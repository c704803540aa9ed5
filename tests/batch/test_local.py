"""The local engine: the same decisions as through every other way, in segments, all of a file or nothing of it."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.serve.conftest import CONFIG, add_model, promote

from riskloop.batch import local, pool
from riskloop.batch.client import digest_of_files
from riskloop.batch.local import Champion, LocalEngine
from riskloop.batch.scorer import Todo
from riskloop.core.errors import ConfigError, Conflict, DataError, MalformedBody, NotFound, RiskloopError, StorageError
from riskloop.core.schema import APPENDED
from riskloop.core.settings import DataSettings
from riskloop.core.types import Decisions
from riskloop.data import formats, streams, tables
from riskloop.scoring.bodies import table_rows
from riskloop.scoring.decide import decide
from riskloop.scoring.model import load_model
from riskloop.store.appender import ChunkKey
from riskloop.store.home import Home

N = 300


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text(CONFIG + "[exploration]\nrate = 0.3\n", encoding="utf-8")
    home = Home.open(tmp_path)
    promote(home, add_model(home, intercept=0.3))
    yield home
    home.close()


def engine_of(home: Home, processes: int = 1) -> LocalEngine:
    def champion() -> Champion:
        promotion = home.champion()
        return Champion(promotion, load_model(home.artefact(promotion.version), promotion.version), None)

    return LocalEngine(
        segments=home.segments,
        exploration=home.settings.exploration.rate,
        champion=champion,
        packed=home.packed,
        artefact=home.artefact,
        processes=processes,
    )


def customers(seed: int, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"c{seed}-{i}" for i in range(n)],
            "day": rng.choice(["2025-03-30", "2025-03-31"], n),
            "debt": rng.integers(0, 20, n) / 2,
            "income": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
            "job": rng.choice(["none", "clerk", "7", "new, one", 'say "x"'], n),
            "sex": rng.integers(1, 3, n),
        }
    )


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks out of a small file."""
    monkeypatch.setattr(formats, "ROWS", 70)
    monkeypatch.setattr(streams, "BLOCK", 3000)
    monkeypatch.setattr(tables, "SHORT", 100)


def write(frame: pd.DataFrame, path: Path) -> Path:
    kind = path.name.partition(".")[2]
    if kind == "parquet":
        parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=130)
    elif kind == "json":
        path.write_text(json.dumps(frame.astype(object).where(frame.notna(), None).to_dict("records")))
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    else:
        frame.to_csv(path, index=False)
    return path


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    with pa.input_stream(str(path), compression="zstd" if path.suffix == ".zst" else None) as file:
        content = io.BytesIO(file.read())
    if pd.__version__.startswith("2"):
        return pd.read_csv(content, dtype={"job": str}, float_precision="round_trip")
    return pd.read_csv(content, dtype={"job": str})  # pandas 3 reads exactly


def decided(home: Home, frame: pd.DataFrame) -> Decisions:
    """What the one step of scoring says of the rows."""
    model = load_model(home.artefact(1), 1)
    return decide(model, table_rows(frame, model, where="the frame"), 0, home.settings.exploration.rate)


def check_logged(home: Home, frame: pd.DataFrame, first: int = 1) -> None:
    wanted = decided(home, frame)
    logged = home.decisions.frame()
    assert logged.ids.tolist() == list(range(1, home.decisions.last_id() + 1)), "ids have no gap"
    part = logged.take(np.arange(first - 1, first - 1 + len(frame)))
    assert part.probabilities.tobytes() == wanted.probabilities.tobytes()
    assert part.features.tobytes() == wanted.features.tobytes()
    assert list(part.customer_ids) == list(wanted.customer_ids)
    assert part.times.tolist() == list(wanted.times)
    flags = [home.decisions.get(first + i).flags for i in range(len(frame))]
    assert [bool(flag) for flag in flags] == [flag is not None for flag in wanted.flags or ()]


@pytest.mark.parametrize("out", ["out.csv", "out.parquet", "out.csv.zst"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "csv.gz"])
def test_files_are_scored_as_through_every_other_way(home: Home, tmp_path: Path, kind: str, out: str) -> None:
    frame = customers(1)
    source, target = write(frame, tmp_path / f"in.{kind}"), tmp_path / out
    summary = engine_of(home).score(source, target, dialect=DataSettings())
    assert (summary.rows, summary.refused, summary.repeated) == (N, 0, False)
    assert summary.chunks > 1 or kind == "json"
    check_logged(home, frame)
    told = read(target)
    assert told.columns.tolist() == [*frame.columns, *APPENDED]
    assert told["decision_id"].astype(int).tolist() == list(range(1, N + 1))
    assert told["probability"].tolist() == decided(home, frame).probabilities.tolist()
    assert told["default"].astype(bool).tolist() == decided(home, frame).defaults.tolist()
    assert told["job"].tolist() == frame["job"].tolist()
    assert sorted(p.name for p in tmp_path.iterdir() if "out" in p.name) == [out], "nothing is left beside it"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_that_no_model_reads_are_named_and_kept(home: Home, tmp_path: Path, kind: str) -> None:
    frame = customers(3)
    source = write(frame.assign(branch="a", notes=1), tmp_path / f"more.{kind}")
    summary = engine_of(home).score(source, tmp_path / f"out.{kind}", DataSettings())
    assert summary.not_read == ("branch", "notes")
    assert [*read(tmp_path / f"out.{kind}")][-len(APPENDED) - 2 :] == ["branch", "notes", *APPENDED]
    check_logged(home, frame)


def test_a_csv_keeps_its_bytes(home: Home, tmp_path: Path) -> None:
    source = write(customers(2), tmp_path / "in.csv")
    engine_of(home).score(source, tmp_path / "out.csv", dialect=DataSettings())
    before, after = source.read_bytes().splitlines(), (tmp_path / "out.csv").read_bytes().splitlines()
    assert len(before) == len(after)
    assert all(line.startswith(own + b",") for own, line in zip(before, after, strict=True))


def test_folders_and_patterns_are_one_run(home: Home, tmp_path: Path) -> None:
    frame = customers(3)
    (tmp_path / "many").mkdir()
    for number, part in enumerate(np.array_split(np.arange(N), 3)):
        write(frame.iloc[part], tmp_path / "many" / f"part-{number}.csv")
    engine_of(home).score(tmp_path / "many", tmp_path / "out.csv", dialect=DataSettings())
    check_logged(home, frame)
    again = engine_of(home).score(tmp_path / "many" / "part-*.csv", tmp_path / "again.csv", dialect=DataSettings())
    assert again.repeated
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


@pytest.mark.parametrize(("kind", "out"), [("csv", "out.csv"), ("parquet", "out.parquet")])
def test_processes_give_the_same(home: Home, tmp_path: Path, kind: str, out: str) -> None:
    frame = customers(4, 2 * N)
    frame.loc[[5, 400], "id"] = "twice"
    frame.loc[100, "debt"] = 99.0
    frame["day"] = "2025-03-31"
    source = write(frame, tmp_path / f"in.{kind}")
    summary = engine_of(home, 2).score(source, tmp_path / out, dialect=DataSettings())
    assert summary.refused == 2
    good = frame.drop(index=[100, 400])
    check_logged(home, good)
    told = read(tmp_path / out)
    assert told["id"].tolist() == good["id"].tolist()
    assert told["decision_id"].astype(int).tolist() == list(range(1, len(good) + 1))
    assert told["probability"].tolist() == decided(home, good).probabilities.tolist()
    assert home.segments.files.listed() == sorted(home.segments.paths())


def test_a_process_that_dies_ends_the_run(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children, score = set(), pool._Child.score

    def dies(self: Any, number: int, todo: Todo) -> Any:
        children.add(self._process.pid)
        if number == 4:
            os.kill(self._process.pid, signal.SIGKILL)
        return score(self, number, todo)

    monkeypatch.setattr(pool._Child, "score", dies)
    source = write(customers(13), tmp_path / "in.csv")
    with pytest.raises(RiskloopError, match="has ended"):
        engine_of(home, 2).score(source, tmp_path / "out.csv", dialect=DataSettings())
    assert home.decisions.count() == 0
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]
    assert len(children) == 2
    assert not [child for child in children if Path(f"/proc/{child}").exists()], "no child is left, not as a zombie"


def test_an_error_of_a_process_is_told_as_its_own(home: Home, tmp_path: Path) -> None:
    root = Path(home.segments.files.root)
    root.mkdir()
    for days in (0, 1):  # the test may run at midnight
        (root / f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}").write_text("a file where a folder should be")
    source = write(customers(13), tmp_path / "in.csv")
    with pytest.raises(StorageError, match="cannot be written"):
        engine_of(home, 2).score(source, tmp_path / "out.csv", dialect=DataSettings())
    assert home.decisions.count() == 0


def test_scoring_a_file_imports_little() -> None:
    """Neither the command's process nor its children wait for what trains a model."""
    code = (
        "import sys, riskloop.portfolio, riskloop.batch.local, riskloop.loop.champion, riskloop.loop.engines as e\n"
        "import riskloop.batch.pool, riskloop.monitor.profile\n"
        "print(*(m for m in ('sklearn', 'scipy', 'pandas', 'fastapi', 'alembic') if m in sys.modules))\n"
        "sys.meta_path.insert(0, e.WithoutPandas())\n"
        "import numpy, pyarrow; pyarrow.array(numpy.ones(2)); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("packing", ["gzip", "zstd", "bz2", "lz4", "zip"])
def test_a_delivery_that_is_packed_anew_is_the_same_run(home: Home, tmp_path: Path, packing: str) -> None:
    source, again = write(customers(5), tmp_path / "in.csv"), tmp_path / "in.csv.packed"
    first = engine_of(home).score(source, tmp_path / "out.csv", dialect=DataSettings())
    if packing == "zip":
        with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("out/in.csv", source.read_bytes())
            archive.writestr("README.md", "As of yesterday.")
    else:
        with pa.output_stream(str(again), compression=packing) as out:
            out.write(source.read_bytes())
    summary = engine_of(home).score(again, tmp_path / "again.csv", dialect=DataSettings())
    assert (summary.run_key, summary.repeated, home.decisions.count()) == (first.run_key, True, N)
    pd.testing.assert_frame_equal(read(tmp_path / "again.csv"), read(tmp_path / "out.csv"))


def test_a_run_is_decided_on_once(home: Home, tmp_path: Path) -> None:
    source, target = write(customers(5), tmp_path / "in.parquet"), tmp_path / "out.parquet"
    engine = engine_of(home)
    first = engine.score(source, target, dialect=DataSettings())
    before = read(target)
    target.unlink()
    promote(home, add_model(home, intercept=-1.0))
    again = engine.score(source, target, dialect=DataSettings())
    assert again.repeated
    assert (again.rows, again.defaults, again.last_version) == (first.rows, first.defaults, 1)
    pd.testing.assert_frame_equal(read(target), before)
    assert home.decisions.count() == N
    anew = engine.score(source, target, dialect=DataSettings(), run_key="second")
    assert (anew.repeated, anew.last_version, home.decisions.count()) == (False, 2, 2 * N)
    with pytest.raises(Conflict, match="other rows"):
        engine.score(write(customers(6), tmp_path / "b.csv"), target, dialect=DataSettings(), run_key="second")
    home.decisions.append(decided(home, customers(7, 3)), ChunkKey(f"third-0-{'a' * 32}", "f"))
    with pytest.raises(Conflict, match="--engine api"):
        engine.score(source, target, dialect=DataSettings(), run_key="third")


CHANGES: dict[str, Callable[[Path], Any]] = {
    "a row more": lambda path: path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[-1]),
    "half a row more": lambda path: path.write_bytes(path.read_bytes() + b"x,3"),
    "shorter": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "another file": lambda path: write(customers(6), path.with_name("other.csv")).replace(path),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_is_still_being_written_is_not_decided_on(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, *, folder: bool
) -> None:
    (tmp_path / "day").mkdir()
    path = write(customers(5), tmp_path / "day" / "in.csv")
    source = path.parent if folder else path

    def changed(files: Sequence[Path]) -> str:
        found = digest_of_files(files)
        CHANGES[change](path)
        if change == "gone":
            write(customers(6), path)
        return found

    monkeypatch.setattr(local, "digest_of_files", changed)
    with pytest.raises(DataError, match="changed while it was read"):
        engine_of(home).score(source, tmp_path / "out.csv", dialect=DataSettings(max_refused=0.5))
    assert home.decisions.count() == 0
    assert home.segments.files.listed() == []
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]
    monkeypatch.undo()
    write(customers(5), path)
    assert engine_of(home).score(source, tmp_path / "out.csv", dialect=DataSettings()).rows == N


BAD: dict[str, Callable[[pd.DataFrame], Any]] = {
    "outside": lambda frame: frame.assign(debt=frame["debt"].mask(frame.index == 150, 99.0)),
    "missing": lambda frame: frame.assign(debt=frame["debt"].mask(frame.index % 100 == 7)),
    "twice": lambda frame: frame.assign(
        id=frame["id"].mask(frame.index.isin([3, 290]), "x"),
        day=frame["day"].mask(frame.index.isin([3, 290]), "2025-03-30"),
    ),
    "future": lambda frame: frame.assign(day=frame["day"].mask(frame.index == 299, "2125-01-01")),
}


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("fault", BAD)
def test_bad_rows_are_set_aside(home: Home, tmp_path: Path, fault: str, kind: str, *, busy: bool) -> None:
    """Also where others log decisions meanwhile, so that the run has other ids than were expected."""
    frame = BAD[fault](customers(8))
    wrong = {"outside": [150], "missing": [7, 107, 207], "twice": [290], "future": [299]}[fault]
    source, target = write(frame, tmp_path / f"in.{kind}"), tmp_path / f"out.{kind}"
    engine, first = engine_of(home), 1
    if busy:
        register = engine.segments.register

        def beaten(*args: Any, **kwargs: Any) -> Any:
            home.decisions.append(decided(home, customers(9, 4)))
            return register(*args, **kwargs)

        engine.segments.register = beaten  # type: ignore[method-assign]
        first = 5
    summary = engine.score(source, target, dialect=DataSettings(), refused=tmp_path / "refused.csv")
    good = frame.drop(index=wrong)
    assert (summary.rows, summary.refused) == (len(good), len(wrong))
    check_logged(home, good, first)
    told = read(target)
    assert told["id"].tolist() == good["id"].tolist()
    assert told["decision_id"].astype(int).tolist() == list(range(first, first + len(good)))
    assert told["probability"].tolist() == decided(home, good).probabilities.tolist()
    place = "line {}" if kind == "csv" else "row {}"
    assert pd.read_csv(tmp_path / "refused.csv")["refused_place"].tolist() == [
        place.format(i + (2 if kind == "csv" else 1)) for i in wrong
    ]


def test_too_many_bad_rows_refuse_all(home: Home, tmp_path: Path) -> None:
    frame = customers(10)
    frame.loc[200:, "debt"] = np.nan
    source = write(frame, tmp_path / "in.csv")
    for dialect in (DataSettings(), DataSettings(strict=True)):
        aside = tmp_path / "refused.csv"
        aside.unlink(missing_ok=True)
        with pytest.raises(DataError, match=r"debt"):
            engine_of(home).score(source, tmp_path / "out.csv", dialect=dialect, refused=aside)
        assert pd.read_csv(aside)["refused_place"].tolist() == [f"line {n + 2}" for n in range(200, N)]
    with pytest.raises(DataError, match="'sex' is missing"):
        engine_of(home).score(
            write(frame.drop(columns="sex"), tmp_path / "less.csv"), tmp_path / "out.csv", dialect=DataSettings()
        )
    assert home.decisions.count() == 0
    assert home.segments.files.listed() == []
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]


def test_a_run_that_is_repeated_is_judged_as_it_is_asked_now(home: Home, tmp_path: Path) -> None:
    source = write(BAD["missing"](customers(8)), tmp_path / "in.csv")
    first = engine_of(home).score(source, tmp_path / "out.csv", dialect=DataSettings())
    for dialect in (DataSettings(strict=True), DataSettings(max_refused=0.001)):
        with pytest.raises(DataError, match=r"day|debt|sex"):
            engine_of(home).score(source, tmp_path / "again.csv", dialect=dialect)
    assert not (tmp_path / "again.csv").exists()
    again = engine_of(home).score(source, tmp_path / "again.csv", dialect=DataSettings())
    assert (again.repeated, again.rows, again.refused) == (True, first.rows, first.refused)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


@pytest.mark.parametrize("layout", [{"skip": 1}, {"delimiter": ";"}, {"encoding": "utf-16"}, {"encoding": "utf-32"}])
def test_a_run_that_is_repeated_by_another_layout_names_the_one_that_reads_it(
    home: Home, tmp_path: Path, layout: dict[str, Any]
) -> None:
    source = write(customers(8), tmp_path / "in.csv")
    engine_of(home).score(source, tmp_path / "out.csv", dialect=DataSettings())
    with pytest.raises((DataError, MalformedBody), match=f"say .*--{next(iter(layout))}"):
        engine_of(home).score(source, tmp_path / "again.csv", dialect=DataSettings(**layout))
    assert not (tmp_path / "again.csv").exists()


def test_another_champion_decides_anew(home: Home, tmp_path: Path) -> None:
    frame = customers(11)
    engine = engine_of(home)
    register, turns = engine.segments.register, iter([True, False])

    def promoted(*args: Any, **kwargs: Any) -> Any:
        if next(turns):
            promote(home, add_model(home, intercept=-2.0))
        return register(*args, **kwargs)

    engine.segments.register = promoted  # type: ignore[method-assign]
    summary = engine.score(write(frame, tmp_path / "in.csv"), tmp_path / "out.csv", dialect=DataSettings())
    assert (summary.first_version, summary.last_version) == (2, 2)
    assert set(home.decisions.frame().model_versions.tolist()) == {2}
    assert home.segments.files.listed() == sorted(home.segments.paths()), "what the first one decided is gone"


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from riskloop.store.home import Home
from riskloop.store.segments import Segments
from riskloop.core.settings import DataSettings
from tests.batch.test_local import engine_of
register = Segments.register
def killed(self, *args, **kwargs):
    if {after}:
        register(self, *args, **kwargs)
    os.kill(os.getpid(), 9)
Segments.register = killed
home = Home.open({home!r})
engine_of(home).score(Path({source!r}), Path({target!r}), dialect=DataSettings())
"""


@pytest.mark.parametrize("after", [False, True])
def test_killed_and_run_again_it_has_decided_once(home: Home, tmp_path: Path, *, after: bool) -> None:
    frame = customers(12)
    source, target = write(frame, tmp_path / "in.csv"), tmp_path / "out.csv"
    tests = str(Path(__file__).parents[2])
    code = KILLED.format(tests=tests, after=after, home=str(tmp_path), source=str(source), target=str(target))
    ended = subprocess.run([sys.executable, "-c", code], cwd=tests, check=False, env={**os.environ})
    assert ended.returncode == -9
    assert not target.exists()
    assert home.decisions.count() == (N if after else 0)
    summary = engine_of(home).score(source, target, dialect=DataSettings())
    assert summary.repeated is after
    check_logged(home, frame)
    assert read(target)["decision_id"].tolist() == list(range(1, N + 1))
    assert home.decisions.count() == N


def test_paths_that_cannot_be_are_refused_before_anything_is_scored(home: Home, tmp_path: Path) -> None:
    engine, source = engine_of(home), write(customers(14), tmp_path / "in.csv")
    for there, target, kind in (
        (tmp_path / "no.csv", tmp_path / "out.csv", NotFound),
        (source, tmp_path / "no" / "out.csv", NotFound),
        (source, source, ConfigError),
        (source, tmp_path, ConfigError),
        (source, tmp_path / "out.xlsx", ConfigError),
    ):
        with pytest.raises(kind):
            engine.score(there, target, dialect=DataSettings())
    assert home.decisions.count() == 0
    assert local.cores() >= 1
