"""Scoring on a Spark cluster, for notebooks and jobs: `riskloop.spark.score(frame, portfolio)`; the extra is `spark`.

The decisions become segments of the portfolio's log; see docs/scale.md.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from riskloop.core.errors import ConfigError
from riskloop.portfolio import Portfolio
from riskloop.scoring.decoder import CLOCK_SKEW

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from riskloop.batch.local import Champion
    from riskloop.batch.scorer import Scorer
    from riskloop.batch.spark import SparkRun


def score(
    frame: "DataFrame", portfolio: Portfolio, *, run_key: str | None = None, staging: str | None = None
) -> "DataFrame":
    """Decide on the rows of a DataFrame on the executors and log it; the rows come back with their predictions.

    ``run_key`` makes the run idempotent: under the same key with the same ``staging`` nobody is decided on twice. That
    is a folder that driver and executors see, by default one beside the segments; it may go when the result is written.
    Rows that cannot be read are left out. Raises DataError for more of them than `data.max_refused` allows, or for ids
    that come twice.
    """
    scored: DataFrame = run(frame, portfolio, run_key=run_key, staging=staging).frame
    return scored


def run(
    frame: "DataFrame",
    portfolio: Portfolio,
    *,
    run_key: str | None = None,
    staging: str | None = None,
    refused: Path | None = None,
) -> "SparkRun":
    """As `score`, with what became of the rows in numbers; those that cannot be read go into the CSV ``refused``."""
    from riskloop.batch.spark import SparkEngine

    home = portfolio.home
    key = run_key or uuid4().hex
    root = home.segments.files.root
    place = staging or f"{root if '://' in root else f'file://{Path(root).absolute()}'}-staging/{key}"

    def scorer(champion: "Champion", names: tuple[str, ...]) -> "Scorer":
        from riskloop.batch.scorer import Scorer

        return Scorer(
            artefact=home.packed(champion.promotion.version),
            version=champion.promotion.version,
            exploration=home.settings.exploration.rate,
            segments=root if "://" in root else str(Path(root).absolute()),
            names=names,
            dialect=home.settings.data,
            latest=time.time_ns() // 1000 + CLOCK_SKEW,
            profiler=champion.profiler,
        )

    engine = SparkEngine(home.segments, portfolio.champion_now, scorer, home.settings.data)
    return engine.score(frame, place, key, refused)


def distributed(portfolio: Portfolio, spark: "SparkSession") -> Portfolio:
    """The same portfolio, whose segments are read on the executors: for `cycle`, `record_outcomes` and all the others.

    Windows are profiled there, customers are looked up there, and rows are drawn and filtered there; the driver gets
    what is left, in order, so that every result is one machine's to the bit. Models are trained on the driver.
    """
    from riskloop.batch.spark import OnExecutors

    return Portfolio(replace(portfolio.home, reader=OnExecutors(spark)))


def started(portfolio: Portfolio, master: str | None) -> Portfolio:
    """The same on the cluster's own session, or on one at ``master``. Raises ConfigError without PySpark."""
    return distributed(portfolio, _session(master))


def score_path(
    portfolio: Portfolio,
    source: str,
    target: str,
    *,
    master: str | None = None,
    run_key: str | None = None,
    refused: Path | None = None,
) -> "SparkRun":
    """Score a path that Spark reads (Parquet, or CSV with a header) into a folder of the kind that its name says.

    A CSV has the delimiter and the encoding of [data]; Spark knows no other layout. Without a ``run_key`` the files'
    names, sizes and times make the run. Raises Conflict when it is done already, ConfigError where the target is there.
    """
    from riskloop.batch.spark import digest_of_input, exists, remove

    layout = portfolio.home.settings.data
    for option, value in (("sheet", layout.sheet), ("skip", layout.skip), ("widths", layout.widths)):
        if value and ".csv" in source:
            raise ConfigError(f"Spark reads no file that needs {option} of [data]; score it with --engine local.")
    spark = _session(master)
    if exists(spark, target):
        raise ConfigError(f"{target} is there already; name another output, or remove it. Nothing was scored.")
    # Quotes as in every standard CSV: doubled within a field, which may go over several lines.
    reader = spark.read.options(header=True, escape='"', multiLine=True, sep=layout.delimiter, encoding=layout.encoding)
    frame = reader.csv(source) if ".csv" in source else spark.read.parquet(source)
    done = run(frame, portfolio, run_key=run_key or digest_of_input(frame), refused=refused)
    writer = done.frame.write.mode("errorifexists")
    writer.options(header=True, escape='"').csv(target) if target.endswith(".csv") else writer.parquet(target)
    remove(spark, done.staging)
    return replace(done, frame=None)


def _session(master: str | None) -> "SparkSession":
    try:
        from riskloop.batch.spark import session

        found: SparkSession = session(master)
    except ImportError as error:
        raise ConfigError(f"Spark needs its package ({error}); install it: pip install 'riskloop[spark]'.") from None
    return found
