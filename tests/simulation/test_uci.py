import os
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from riskloop.core.errors import DataError, MalformedBody, NotFound
from riskloop.simulation.embedded import FEATURES, simulate
from riskloop.simulation.uci import load_uci

UCI = os.environ.get("RISKLOOP_UCI")


@pytest.fixture
def published() -> pd.DataFrame:
    """A small file as UCI publishes it."""
    frame = simulate([date(2024, 1, 1)], 50, seed=1).drop(columns="application_date")
    return frame.rename(columns={"default": "default.payment.next.month"})


def written(frame: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "uci.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"default.payment.next.month": "default payment next month", "PAY_0": "PAY_1"},
        {"default.payment.next.month": " default "},
    ],
)
def test_every_published_header_gives_the_same_frame(
    published: pd.DataFrame, tmp_path: Path, headers: dict[str, str]
) -> None:
    loaded = load_uci(written(published.rename(columns=headers), tmp_path))
    expected = published.rename(columns={"default.payment.next.month": "default"})
    pd.testing.assert_frame_equal(loaded, expected)  # dtypes too: those of the embedded portfolio


def test_the_order_of_columns_does_not_matter(published: pd.DataFrame, tmp_path: Path) -> None:
    loaded = load_uci(written(published[published.columns[::-1]], tmp_path))
    assert list(loaded.columns) == ["ID", *FEATURES, "default"]


def test_missing_and_unknown_columns_are_named(published: pd.DataFrame, tmp_path: Path) -> None:
    path = written(published.rename(columns={"AGE": "Years"}), tmp_path)
    with pytest.raises(DataError, match="AGE is missing; Years is not one of its columns") as refused:
        load_uci(path)
    assert [p.field for p in refused.value.details] == ["AGE", "Years"]


def test_both_headers_of_one_column_are_refused(published: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="PAY_0 appears twice"):
        load_uci(written(published.assign(PAY_1=0), tmp_path))


@pytest.mark.parametrize(
    ("column", "value"),
    [("default.payment.next.month", 2), ("BILL_AMT3", None), ("SEX", "female"), ("AGE", 30.5)],
)
def test_bad_values_are_named_with_their_row(
    published: pd.DataFrame, tmp_path: Path, column: str, value: float | str | None
) -> None:
    bad = published.astype({column: object})
    bad.loc[6, column] = value
    name = "default" if column.startswith("default") else column
    with pytest.raises(DataError, match=f"{name} has no usable number in data row 7"):
        load_uci(written(bad, tmp_path))


def test_repeated_ids_and_empty_files_are_refused(published: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ID has values that appear twice"):
        load_uci(written(published.assign(ID=1), tmp_path))
    with pytest.raises(DataError, match="no rows"):
        load_uci(written(published.iloc[:0], tmp_path))


def test_no_file_and_no_csv(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        load_uci(tmp_path / "nowhere.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(MalformedBody, match="not a CSV"):
        load_uci(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00a,b\n1,2,3\n")
    with pytest.raises(MalformedBody, match="not a CSV"):
        load_uci(tmp_path / "binary.csv")


@pytest.mark.skipif(UCI is None, reason="RISKLOOP_UCI does not name the UCI file")
def test_the_real_file() -> None:
    frame = load_uci(str(UCI))
    assert frame.shape == (30_000, 25)
    assert frame["default"].mean() == pytest.approx(0.2212)
