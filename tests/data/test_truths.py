"""Words of a truth beside those that the portfolio names: the same outcome in every way in, or an error by row."""

import io
import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from pyarrow import parquet

from riskloop.core.errors import DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.core.truth import TARGETS, TRUTHS, truth
from riskloop.data.outcomes import read_handed_in
from riskloop.data.read import read_rows
from riskloop.serve.outcomes import outcome_source

NOW = datetime(2025, 5, 1, tzinfo=UTC)
PAIRS = [
    ("ja", "nein"), ("j", "n"), ("wahr", "falsch"), ("oui", "non"), ("si", "no"), ("vrai", "faux"), ("true", "false"),
    ("y", "n"), ("yes", "no"), ("1", "0"), ("sim", "não"),
]  # fmt: skip
LENIENT = DataSettings(max_refused=1.0)


def schema_of(bad: tuple[str, ...], good: tuple[str, ...]) -> Schema:
    return Schema((Feature("x", nullable=True),), target="flag", id="id", bad=bad, good=good)


def sources(cells: list[str], folder: Path) -> dict[str, Any]:
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(len(cells))], "flag": cells})
    frame.to_csv(folder / "o.csv", index=False)
    frame.to_parquet(folder / "o.parquet")
    assert parquet.read_table(folder / "o.parquet").num_rows == len(cells)
    upload = io.BytesIO((folder / "o.csv").read_bytes())
    return {"CSV": folder / "o.csv", "Parquet": folder / "o.parquet", "frame": frame, "upload": upload}


def handed(source: Any, schema: Schema) -> tuple[dict[str, bool], list[str]]:
    """Customer to outcome, and the rows that cannot be read."""
    read = read_handed_in(source, schema, LENIENT, NOW, strict=False, empty=False)
    return dict(zip(read.labels.customers, read.labels.defaulted.tolist(), strict=True)), list(read.refused)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_every_spelling_of_a_truth_is_read_beside_the_portfolios(
    pair: tuple[str, str], turned: bool, tmp_path: Path
) -> None:
    """Turned: the target says who repaid, so that a no is a default."""
    bad, good = ((pair[1],), (pair[0],)) if turned else ((pair[0],), (pair[1],))
    texts = [*TRUTHS, *(word.upper() for word in TRUTHS), " Ja ", "Non"]
    expected = [TRUTHS[text.strip().casefold()] is not turned for text in texts]
    for named in (good, ()):
        schema = schema_of(bad, named)
        for name, source in sources(texts, tmp_path).items():
            found, refused = handed(source, schema)
            assert (list(found.values()), refused) == (expected, []), name
        history = pd.DataFrame({"id": range(len(texts)), "flag": texts, "x": 1.0})
        read = read_rows(history, schema, target="required", where="h", dialect=LENIENT)
        assert read.rows.target is not None
        assert [value == 1.0 for value in read.rows.target.tolist()] == expected


@pytest.mark.parametrize(
    ("pair", "odd"), [*itertools.product(PAIRS[::3], ["jein", "x", "vielleicht", "??!", "ja nein"])]
)
def test_what_is_no_truth_beside_truths_is_told_by_its_row(pair: tuple[str, str], odd: str, tmp_path: Path) -> None:
    schema = schema_of((pair[0],), (pair[1],))
    for name, source in sources([pair[0], odd, pair[1]], tmp_path).items():
        found, refused = handed(source, schema)
        assert found == {"c0": True, "c2": False}, name
        assert len(refused) == 1
        assert refused[0].startswith(("line 3: is no value", "row 2: is no value"))
        assert f"(got {odd!r})" in refused[0]


@pytest.mark.parametrize("word", sorted({*TRUTHS} - {*TARGETS}))
def test_a_truth_where_the_portfolio_names_states_is_told_by_its_row(word: str, tmp_path: Path) -> None:
    schema = schema_of(("charged off",), ("fully paid",))
    for source in sources(["Charged Off", word, "Current"], tmp_path).values():
        found, refused = handed(source, schema)
        assert found == {"c0": True}
        assert [f"(got {word!r})" in one for one in refused] == [True]


@pytest.mark.parametrize("word", ["", "Current", "laufend", "In Grace Period", "offen"])
@pytest.mark.parametrize("pair", PAIRS)
def test_what_is_not_known_yet_is_no_error(word: str, pair: tuple[str, str], tmp_path: Path) -> None:
    schema = schema_of((pair[0],), (pair[1],))
    read = read_handed_in(
        sources([pair[0], word, pair[1]], tmp_path)["CSV"], schema, LENIENT, NOW, strict=False, empty=False
    )
    assert (len(read.labels), read.refused, len(read.waiting.rows)) == (2, (), 1)


def test_the_api_reads_the_same_truths() -> None:
    schema = schema_of((), ())
    body = [{"customer_id": f"c{i}", "default": text} for i, text in enumerate(TRUTHS)]
    with outcome_source(io.BytesIO(msgspec.json.encode(body)), "application/json", schema) as source:
        found, refused = handed(source, schema)
    assert (list(found.values()), refused) == ([*TRUTHS.values()], [])
    with (
        outcome_source(
            io.BytesIO(msgspec.json.encode([{**body[0], "default": "jein"}])), "application/json", schema
        ) as source,
        pytest.raises(DataError, match="needs 0 or 1 as its outcome"),
    ):
        read_handed_in(source, schema, DataSettings(), NOW, strict=True, empty=False)


OTHERS: list[tuple[tuple[str, ...], tuple[str, ...], float | None]] = [
    (("2",), ("1",), None), (("charged off",), (), 0.0), ((">=90",), (), None), (("*",), ("0",), 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "good", "read"), OTHERS)
def test_words_that_are_no_truths_mean_what_they_did(
    bad: tuple[str, ...], good: tuple[str, ...], read: float | None
) -> None:
    assert {truth(word, bad, good) for word in {*TRUTHS} - {*TARGETS}} == {read}
