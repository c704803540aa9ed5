from riskloop.store.database import Database
from riskloop.store.refusals import HOUR, Refusal, add_refusals, refusal_counts


def test_counts_add_up_by_hour_field_and_problem(database: Database) -> None:
    first, second = Refusal(HOUR, "AGE", "is missing"), Refusal(2 * HOUR, "", "malformed")
    add_refusals(database, {first: 2, second: 1})
    add_refusals(database, {first: 3})
    assert refusal_counts(database, 0, 3 * HOUR) == {first: 5, second: 1}
    assert refusal_counts(database, 2 * HOUR, 3 * HOUR) == {second: 1}
