"""Where a feature has a label, people read it: on every page that names features, in text and on charts."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from riskloop.core.types import Finding, Severity
from riskloop.store.home import Home

from .conftest import add_model, client_of, decide, promote, psi, save, window

PAGES = (
    "/dashboard/drift",
    "/dashboard/drift/debt?window=1",
    "/dashboard/drift/job?window=1",
    "/dashboard/windows/1",
    "/dashboard/models/1",
    "/dashboard/decisions",
    "/dashboard/decisions/1",
)
LABELS = {"debt": "Debts owed", "job": "Occupation", "sex": "Sex on record"}
# What is the column's name on purpose: addresses, values of a form, and one mention beside the label.
MEANT = re.compile(
    r"<script src.*?</script>|<small>(debt|job|sex)( protected[^<]*)?</small>|<code>[^<]*</code>", re.DOTALL
)


@pytest.fixture
def labelled(empty: Home) -> Iterator[Home]:
    """A portfolio with a champion, decisions and a window, whose features have labels and one a unit."""
    config = empty.folder / "riskloop.toml"
    text = config.read_text()
    for name, label in LABELS.items():
        text = text.replace(f"[features.{name}]", f'[features.{name}]\nlabel = "{label}"')
    config.write_text(text.replace("range = [0, 10]", 'unit = "NT$"\nrange = [0, 10]'))
    home = Home.open(empty.folder)
    promote(home, add_model(home))
    decide(home, 10)
    details = {"mean_pd": 0.02, "approval_rate": -0.01}
    impact = Finding("impact", "debt", Severity.OK, None, None, "x", "x", 1, 1, "It moves it.", details)
    moved = (replace(psi(name, 0.3, Severity.DRIFTED), sentence="It moved.") for name in ("debt", "job"))
    save(home, window(1), *moved, impact)
    yield home
    home.close()


def visible(page: str) -> str:
    """What a person reads: texts and charts, without what means the column."""
    text = MEANT.sub("", page)
    charts = " ".join(re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL))
    text = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    titles = " ".join(re.findall(r'(?:title|aria-label|label)="([^"]*)"', text))
    return html.unescape(f"{re.sub('<[^>]*>', ' ', text)} {titles} {charts}")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_calls_features_by_their_labels(labelled: Home, path: str) -> None:
    answer = client_of(labelled).get(path)
    assert answer.status_code == 200, answer.text
    read = visible(answer.text)
    assert any(label in read for label in LABELS.values())
    assert not re.search(r"\b(debt|job|sex)\b", read), re.findall(r".{40}\b(?:debt|job|sex)\b.{40}", read)


def test_a_chart_of_a_feature_has_its_unit(labelled: Home) -> None:
    assert "Debts owed (NT$)" in client_of(labelled).get("/dashboard/drift/debt?window=1").text
