"""A day of a portfolio as a DAG of Airflow 3: look at the applicants, score them, hand in outcomes, turn the loop once.

Copy it into the folder of DAGs, and set these variables in the environment of Airflow's workers. Each may be a file or
an address (docs/howto/sources.md), and `{day}` in it becomes the day of the run:

    RISKLOOP_CONFIG     /srv/riskloop/riskloop.toml
    RISKLOOP_IN         s3://lender/{day}/applicants.csv
    RISKLOOP_OUT        s3://lender/{day}/scored.csv
    RISKLOOP_OUTCOMES   postgresql+psycopg://risk@db/lake SELECT loan_id, "default" FROM repayments   (may be left out)

Every task may be run again: the day is the run's key, so that nobody is decided on twice; outcomes that are known
change nothing; a cycle does what is due.
"""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk import chain, dag, task

CONFIG = os.environ.get("RISKLOOP_CONFIG", "riskloop.toml")


def portfolio() -> Any:
    """Opened in the task that uses it: Airflow reads this file again and again."""
    from riskloop import Portfolio

    return Portfolio.open(CONFIG)


@dag(
    dag_id="riskloop",
    schedule="0 5 * * *",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
)
def riskloop_day() -> None:
    """Look, score, hand in, turn."""

    @task
    def check(ds: str | None = None) -> str:
        """A broken feed is not scored: this task fails, and is not tried again."""
        found = portfolio().check(os.environ["RISKLOOP_IN"].format(day=ds))
        if found.diagnosis == "data_fault":
            raise AirflowFailException(found.sentence)
        return str(found.sentence)

    @task
    def score(ds: str | None = None) -> dict[str, Any]:
        """Decide on the applicants of the day, once."""
        source, target = (os.environ[name].format(day=ds) for name in ("RISKLOOP_IN", "RISKLOOP_OUT"))
        done = portfolio().score_file(source, target, run_key=ds)
        return {"rows": done.rows, "declined": done.defaults, "refused": done.refused, "repeated": done.repeated}

    @task(trigger_rule="all_done")
    def outcomes(ds: str | None = None) -> dict[str, int]:
        """Hand in what happened, whether or not today's applicants could be scored. Outcomes of strangers fail it."""
        if "RISKLOOP_OUTCOMES" not in os.environ:
            raise AirflowSkipException("RISKLOOP_OUTCOMES names no outcomes.")
        told = portfolio().record_outcomes(os.environ["RISKLOOP_OUTCOMES"].format(day=ds))
        return {"recorded": told.recorded, "known": told.repeated, "corrected": told.corrected}

    @task(trigger_rule="all_done")
    def cycle() -> list[str]:
        """Close windows, diagnose, retrain, judge, promote: whatever is due."""
        return list(portfolio().cycle().lines)

    @task(trigger_rule="one_failed", retries=0)
    def failed() -> None:
        """Airflow looks at the last tasks alone: without this one, a run would count as good once its cycle is."""
        raise AirflowFailException("A step of the day failed: see the others.")

    steps = [check(), score(), outcomes(), cycle()]
    chain(*steps)
    chain(steps, failed())


riskloop_day()
