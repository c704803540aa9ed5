"""How people speak of features: labels, units, and reasons that a letter can carry."""

import pytest

from riskloop.core.errors import ConfigError
from riskloop.core.settings import parse_settings
from riskloop.core.types import Spoken

CONFIG = """
[portfolio]
name = "x"
target = "bad"
[features.debt]
label = "Debt of the household"
unit = "EUR"
[features.job]
kind = "category"
categories = ["none", "clerk"]
[features.sex]
kind = "category"
categories = ["1", "2"]
protected = true
[reasons.texts]
job = ["Your employment is not long enough", ""]
"""


def test_a_reason_is_the_text_or_is_made_of_label_value_and_unit() -> None:
    spoken = parse_settings(CONFIG).spoken
    assert set(spoken) == {"debt", "job"}
    assert spoken["debt"].reason("debt", "7", 0.3) == "Debt of the household = 7 EUR raises the risk"
    assert spoken["debt"].reason("debt", "missing", -0.3) == "Debt of the household = missing lowers the risk"
    assert spoken["job"].reason("job", "none", 0.3) == "Your employment is not long enough"
    assert spoken["job"].reason("job", "none", -0.3) == "job = none lowers the risk"
    assert Spoken().reason("debt", "7", 0.3) == "debt = 7 raises the risk"


@pytest.mark.parametrize(("name", "said"), [("sex", "is protected"), ("income", "has no .features. table")])
def test_a_text_for_what_is_no_reason_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_settings(CONFIG + f'{name} = ["a", "b"]\n')


def test_words_change_nothing_of_how_rows_are_read() -> None:
    before = parse_settings(CONFIG).row_schema.fingerprint
    changed = CONFIG.replace("Debt of the household", "Debts").replace('unit = "EUR"', "")
    assert parse_settings(changed).row_schema.fingerprint == before
