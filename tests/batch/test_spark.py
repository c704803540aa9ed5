"""On Spark the same rows get the same decisions, to the bit, and the segments' profiles add up to the same bytes."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.loop.conftest import copied, recession, trained_folder  # noqa: F401
from tests.serve.conftest import CONFIG, add_model, promote

from riskloop import spark as riskloop_spark
from riskloop.batch.local import Champion
from riskloop.batch.spark import OnExecutors
from riskloop.cli import main
from riskloop.core.errors import ConfigError, Conflict, DataError
from riskloop.core.schema import APPENDED
from riskloop.core.span import EVERYTHING
from riskloop.core.types import to_micros
from riskloop.data.read import rows_from
from riskloop.loop import observe, snapshot
from riskloop.loop.champion import load
from riskloop.monitor.profile import Profile, Reference
from riskloop.portfolio import Portfolio
from riskloop.scoring.decide import decide
from riskloop.scoring.model import load_model
from riskloop.simulation.embedded import ID, TARGET, month_starts, simulate

from .test_local import check_logged, customers, decided

pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'riskloop[spark]'")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java 17, which is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    builder = SparkSession.builder.master("local[2]").appName("riskloop tests")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
        "spark.sql.execution.arrow.maxRecordsPerBatch": "40",
    }.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.fixture
def portfolio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portfolio]:
    (tmp_path / "riskloop.toml").write_text(CONFIG + "[exploration]\nrate = 0.3\n", encoding="utf-8")
    portfolio = Portfolio.open(tmp_path)
    promote(portfolio.home, add_model(portfolio.home, intercept=0.3))
    model = load_model(portfolio.home.artefact(1), 1)
    past = decided(portfolio.home, customers(99))
    reference = Reference.build(model.schema, past.features, past.probabilities)

    def champion() -> Champion:
        promotion = portfolio.home.champion()
        return Champion(
            promotion, load_model(portfolio.home.artefact(promotion.version), promotion.version), reference.profiler
        )

    monkeypatch.setattr(portfolio, "champion_now", champion)
    monkeypatch.setattr(portfolio, "reference", reference, raising=False)
    yield portfolio
    portfolio.home.close()


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """As Spark takes it: missing numbers are null."""
    return frame.astype(object).where(frame.notna(), None)


def as_frame(spark: Any, frame: pd.DataFrame, parts: int = 3) -> Any:
    schema = "id string, day string, debt double, income double, job string, sex long"
    return spark.createDataFrame(plain(frame).to_dict("records"), schema).repartition(parts, "id")


def test_scores_and_profiles_are_those_of_one_machine(spark: Any, portfolio: Portfolio) -> None:
    frame = customers(1)
    told = riskloop_spark.score(as_frame(spark, frame), portfolio, run_key="night").toPandas()
    home = portfolio.home
    assert told.columns.tolist() == [*frame.columns, *APPENDED]
    by_id = told.set_index("id").loc[frame["id"]]
    wanted = decided(home, frame)
    assert by_id["probability"].to_numpy().tobytes() == wanted.probabilities.tobytes()
    assert by_id["default"].tolist() == wanted.defaults.tolist()
    ids = by_id["decision_id"].astype(int)
    assert sorted(ids) == list(range(1, len(frame) + 1))
    for customer, number in list(ids.items())[::37]:
        assert home.decisions.get(number).customer_id == customer
    stored = home.decisions.profiles(EVERYTHING)
    assert len(stored) == 3
    reference = portfolio.reference  # type: ignore[attr-defined]
    merged = sum((Profile.from_bytes(one.profile) for one in stored), reference.empty)
    whole = reference.profile(wanted.features, wanted.probabilities, np.array(wanted.times))
    assert merged.to_bytes() == whole.to_bytes()
    order = home.decisions.frame()
    check_logged(home, frame.set_index("id").loc[list(order.customer_ids)].reset_index())


def test_a_run_is_decided_on_once_wherever_it_stopped(
    spark: Any, portfolio: Portfolio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, staging = as_frame(spark, customers(2)), f"file://{tmp_path}/staging"
    go = partial(riskloop_spark.run, frame, portfolio, run_key="night", staging=staging)
    register = portfolio.home.segments.register

    def fails(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(portfolio.home.segments, "register", fails)
    with pytest.raises(KeyboardInterrupt):
        go()
    assert portfolio.home.decisions.count() == 0
    monkeypatch.setattr(portfolio.home.segments, "register", register)
    first = go()
    again = go()
    assert first.rows == again.rows == portfolio.home.decisions.count() == 300
    assert first.segments == again.segments
    assert first.frame.orderBy("id").toPandas().equals(again.frame.orderBy("id").toPandas())
    shutil.rmtree(tmp_path / "staging")
    with pytest.raises(Conflict, match="in the log already"):
        go()


def test_bad_rows_are_left_out_and_too_many_refuse_all(spark: Any, portfolio: Portfolio) -> None:
    frame = customers(3)
    bad = frame.assign(debt=frame["debt"].mask(frame.index.isin([3, 200]), 99.0))
    done = riskloop_spark.run(as_frame(spark, bad), portfolio)
    assert (done.rows, done.refused) == (298, 2)
    assert portfolio.home.decisions.count() == done.frame.count() == 298
    with pytest.raises(DataError, match=r"outside the range"):
        riskloop_spark.score(as_frame(spark, frame.assign(debt=99.0)), portfolio)
    twice = pd.concat([frame, frame.head(1)])
    with pytest.raises(DataError, match="c3-0"):
        riskloop_spark.score(as_frame(spark, twice), portfolio)
    with pytest.raises(DataError, match="'probability'"):
        riskloop_spark.score(as_frame(spark, frame).withColumnRenamed("debt", "probability"), portfolio)
    assert portfolio.home.decisions.count() == 298


def test_paths_are_scored_once(spark: Any, portfolio: Portfolio, tmp_path: Path) -> None:
    frame = customers(4)
    frame.to_csv(tmp_path / "in.csv", index=False)
    source, target = str(tmp_path / "in.csv"), str(tmp_path / "out.parquet")
    done = riskloop_spark.score_path(portfolio, source, target)
    told = pd.read_parquet(target)
    assert done.rows == len(told) == portfolio.home.decisions.count() == 300
    by_id = told.set_index("id").loc[frame["id"]]
    assert by_id["probability"].to_numpy().tobytes() == decided(portfolio.home, frame).probabilities.tobytes()
    assert not list(tmp_path.glob("segments-staging/*")), "nothing is left beside the segments"
    with pytest.raises(Conflict, match="in the log already"):
        riskloop_spark.score_path(portfolio, source, str(tmp_path / "again.parquet"))
    assert portfolio.home.decisions.count() == 300


def test_the_rows_that_are_set_aside_are_written_where_refused_says(
    spark: Any,
    portfolio: Portfolio,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the command, in the columns of the other engines, also where too many rows refuse the whole run."""
    frame = customers(3)
    frame.loc[7, "job"] = 'a "quoted",\nbroken one'
    few = frame.assign(debt=frame["debt"].mask(frame.index.isin([3, 200]), 99.0))
    for name, given, code in (("few", few, 12), ("all", frame.assign(debt=99.0), 3)):
        given.to_csv(tmp_path / f"{name}.csv", index=False)
        bad = given[given["debt"] == 99.0]
        found = {}
        for engine in ("local", "spark"):
            aside = tmp_path / f"{name}-{engine}.csv"
            words = [tmp_path / f"{name}.csv", tmp_path / f"{name}-{engine}.parquet", "--refused", aside]
            words += ["--engine", engine, "--config", tmp_path, "--run-key", f"{name}-{engine}"]
            monkeypatch.setattr(sys, "argv", ["riskloop", "score", *map(str, words)])
            with pytest.raises(SystemExit) as stopped:
                main()
            assert stopped.value.code == code, capsys.readouterr().err
            found[engine] = pd.read_csv(aside, dtype=str).drop(columns="refused_place")
            assert sorted(found[engine]["id"]) == sorted(bad["id"])
        local, on_spark = (one.sort_values("id", ignore_index=True) for one in found.values())
        pd.testing.assert_frame_equal(local, on_spark)


def test_an_output_that_is_there_is_said_before_anybody_is_decided_on(
    spark: Any, portfolio: Portfolio, tmp_path: Path
) -> None:
    customers(4).to_csv(tmp_path / "in.csv", index=False)
    (tmp_path / "out.parquet").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        riskloop_spark.score_path(portfolio, str(tmp_path / "in.csv"), str(tmp_path / "out.parquet"))
    assert portfolio.home.decisions.count() == 0


def test_executors_import_little(spark: Any) -> None:
    heavy = ("sqlalchemy", "pandas", "sklearn", "scipy", "fastapi", "alembic")

    def imported(_: Any) -> list[str]:
        import subprocess
        import sys

        code = "import sys, riskloop.batch.spark, riskloop.monitor.profile; print(*sys.modules)"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        return [name for name in heavy if name in found]

    assert spark.sparkContext.parallelize([1], 1).flatMap(imported).collect() == []


def logged_in_segments(portfolio: Portfolio) -> None:
    """Months of a recession, each in two segments, with and without a profile; and rows of the table."""
    home = portfolio.home
    champion = load(home, 1)
    for number, (month, n) in enumerate(zip(month_starts(date(2025, 1, 1), 4), (900, 600, 400, 800), strict=True)):
        customers = simulate([month], n, 100 + number, recession())
        known = customers[customers["EDUCATION"] != 0].drop(columns=TARGET)
        rows = rows_from(known, home.schema, target="absent", where="the test")
        for half in np.array_split(np.arange(len(rows)), 2):
            at = to_micros(datetime(month.year, month.month, 1, tzinfo=UTC))
            decisions = decide(champion.model, rows.take(half), at)
            if number == 2:
                home.decisions.append(decisions)
                continue
            made = champion.reference.profiler(decisions.features, decisions.probabilities, np.array(decisions.times))
            part = home.segments.files.write(decisions, home.schema.names, made if number == 1 else None)
            run = f"run {number} {half[0]}"
            assert home.segments.register(run, "", [part], seq=home.champion().seq) is not None


def learned(portfolio: Portfolio, labels: pd.DataFrame, now: datetime) -> list[Any]:
    """Everything that outcomes and a cycle leave behind."""
    told = portfolio.record_outcomes(labels, now=now)
    done = portfolio.cycle(now=now)
    home = portfolio.home
    windows = home.windows.latest(100)
    frame = snapshot.read(home.decisions, snapshot.take_judged(home.feed, home.windows, now))
    arrays = frame.ids, frame.times, frame.features, frame.probabilities, frame.outcomes, frame.declined
    assert 0 < len(frame) < home.decisions.count(), "a share"
    return [
        told.recorded,
        done.lines,
        home.windows.profiles([window.id for window in windows]),
        [(window.diagnosis, window.sentence, home.windows.findings(window.id)) for window in windows],
        [None if values is None else values.tobytes() for values in arrays],
        [(row.version, row.sha256) for row in home.ledger.models()],
    ]


def test_outcomes_windows_and_a_retraining_are_those_of_one_machine(
    spark: Any,
    trained_folder: Path,  # noqa: F811
    copied: Callable[[Path], Portfolio],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observe, "FRAME_ROWS", 200)
    read: list[int] = []
    each = OnExecutors.each

    def seen(self: OnExecutors, files: Any, wanted: Any, work: Any) -> Any:
        read.append(len(wanted))
        return each(self, files, wanted, work)

    monkeypatch.setattr(OnExecutors, "each", seen)
    found = []
    for on_spark in (False, True):
        portfolio = copied(trained_folder)
        config = portfolio.home.config
        config.write_text(config.read_text(encoding="utf-8") + "[retrain]\nmax_rows = 1500\n", encoding="utf-8")
        portfolio = Portfolio.open(config)
        logged_in_segments(portfolio)
        frame = portfolio.home.decisions.frame()
        bad = np.random.default_rng(5).random(len(frame)) < frame.probabilities[::-1]
        labels = pd.DataFrame({ID: list(frame.customer_ids), TARGET: bad.astype(int), "known_at": "2025-07-01"})
        used = riskloop_spark.distributed(portfolio, spark) if on_spark else portfolio
        found.append(learned(used, labels, datetime(2025, 12, 1, tzinfo=UTC)))
        portfolio.home.close()
    here, there = found
    assert here == there
    assert len(here[-1]) == 2, "a challenger was made"
    assert sum(count > 1 for count in read) > 5
