import numpy as np

from riskloop.monitor.segments import segments_of

from .conftest import SCHEMA, J, history, month


def test_levels_and_quarters_of_the_history() -> None:
    window = month(400, 80)
    age = window.column("AGE")
    age[0] = np.nan
    education = window.column("EDUCATION")
    education[:3] = [np.nan, 7.0, 2.0]
    found = segments_of(SCHEMA, history().features, window.changed(AGE=age, EDUCATION=education).features)
    assert list(found) == ["SEX", "EDUCATION", "MARRIAGE", "AGE"]
    assert found["EDUCATION"][:3].tolist() == ["missing", "missing", "2"]
    assert found["AGE"][0] == "missing"
    names = sorted(set(found["AGE"]) - {"missing"})
    assert len(names) == 4
    quarter = np.quantile(history().features[:, J["AGE"]], [0.25, 0.75], method="inverted_cdf")
    np.testing.assert_array_equal(found["AGE"] == f"up to {quarter[0]:g}", age <= quarter[0])
    np.testing.assert_array_equal(found["AGE"] == f"{quarter[1] + 1:g} or more", age > quarter[1])


def test_chosen_columns_and_columns_without_values() -> None:
    window = month(100, 81)
    assert list(segments_of(SCHEMA, history().features, window.features, ("LIMIT_BAL",))) == ["LIMIT_BAL"]
    past = history().changed(LIMIT_BAL=np.full(len(history().scores), np.nan))
    assert segments_of(SCHEMA, past.features, window.features, ("LIMIT_BAL",)) == {}
    one_value = history().changed(LIMIT_BAL=np.ones(len(history().scores)))
    found = segments_of(SCHEMA, one_value.features, window.features, ("LIMIT_BAL",))
    assert set(found["LIMIT_BAL"]) == {"any value"}
