"""A day of a portfolio as assets of Dagster: look at the applicants, score them, hand in outcomes, turn the loop once.

    dagster dev -f riskloop_assets.py

These variables say where things are. Each may be a file or an address (docs/howto/sources.md), and `{day}` in it
becomes the day of the partition:

    RISKLOOP_CONFIG     /srv/riskloop/riskloop.toml
    RISKLOOP_IN         s3://lender/{day}/applicants.csv
    RISKLOOP_OUT        s3://lender/{day}/scored.csv
    RISKLOOP_OUTCOMES   postgresql+psycopg://risk@db/lake SELECT loan_id, "default" FROM repayments   (may be left out)

Every asset may be materialised again: the day is the run's key, so that nobody is decided on twice; outcomes that are
known change nothing; a cycle does what is due.
"""

import os
from typing import Any

import dagster as dg

days = dg.DailyPartitionsDefinition(start_date="2025-01-01")


def portfolio() -> Any:
    """Opened in the asset that uses it: Dagster reads this file again and again."""
    from riskloop import Portfolio

    return Portfolio.open(os.environ.get("RISKLOOP_CONFIG", "riskloop.toml"))


def place(name: str, context: dg.AssetExecutionContext) -> str:
    """A file or an address of the partition's day."""
    return os.environ[name].format(day=context.partition_key)


@dg.asset(partitions_def=days, group_name="riskloop")
def checked(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """A broken feed is not scored: this asset fails, and is not tried again."""
    found = portfolio().check(place("RISKLOOP_IN", context))
    if found.diagnosis == "data_fault":
        raise dg.Failure(found.sentence, allow_retries=False)
    return dg.MaterializeResult(metadata={"rows": found.rows, "sentence": found.sentence})


@dg.asset(partitions_def=days, deps=[checked], group_name="riskloop")
def scored(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Decide on the applicants of the day, once."""
    source, target = place("RISKLOOP_IN", context), place("RISKLOOP_OUT", context)
    done = portfolio().score_file(source, target, run_key=context.partition_key)
    return dg.MaterializeResult(metadata={"rows": done.rows, "declined": done.defaults, "repeated": done.repeated})


@dg.asset(partitions_def=days, deps=[scored], group_name="riskloop")
def outcomes(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Hand in what happened."""
    if "RISKLOOP_OUTCOMES" not in os.environ:
        return dg.MaterializeResult(metadata={"recorded": 0})
    told = portfolio().record_outcomes(place("RISKLOOP_OUTCOMES", context))
    return dg.MaterializeResult(metadata={"recorded": told.recorded, "known": told.repeated})


@dg.asset(partitions_def=days, deps=[outcomes], group_name="riskloop")
def cycle(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Close windows, diagnose, retrain, judge, promote: whatever is due."""
    lines = portfolio().cycle().lines
    for line in lines:
        context.log.info(line)
    return dg.MaterializeResult(metadata={"said": dg.MetadataValue.json(list(lines))})


day = dg.define_asset_job("riskloop", [checked, scored, outcomes, cycle], partitions_def=days)
defs = dg.Definitions(
    assets=[checked, scored, outcomes, cycle],
    jobs=[day],
    schedules=[dg.build_schedule_from_partitioned_job(day, hour_of_day=5)],
)
