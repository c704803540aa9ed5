import json
from datetime import timedelta

from riskloop.core.settings import Settings, parse_settings, settings_text

TEXT = """
[portfolio]
target = "bad"
time = "month"
outcome_window = "90d"
[features."monthly income"]
range = [0, inf]
[features.region]
kind = "category"
categories = ["nörd", 'so"uth', "3"]
nullable = true
[learners.forest]
estimator = "sklearn.ensemble.ExtraTreesClassifier"
params = { n_estimators = 20, max_features = 0.5, class_weight = { 0 = 1.0, 1 = 2.0 } }
[train]
learners = ["forest", "scorecard"]
[money]
default_cost = 1000.0
good_gain = 75.5
"""


def test_the_text_of_settings_gives_the_settings() -> None:
    settings = parse_settings(TEXT)
    again = parse_settings(settings_text(settings))
    assert again == settings
    assert again.portfolio.outcome_window == timedelta(days=90)


def test_the_document_of_settings_gives_the_settings() -> None:
    settings = parse_settings(TEXT)
    document = json.loads(settings.model_dump_json())
    assert Settings.model_validate(json.loads(json.dumps(document, allow_nan=False))) == settings
