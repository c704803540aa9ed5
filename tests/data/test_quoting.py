"""Quotes that are not those of CSV: found, written into the configuration, and read so in every later file."""

from pathlib import Path

import numpy as np
import pytest
from tests.data.lender import TARGET, history

from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows, table_of

RNG = np.random.default_rng(4)
FRAME = history()
N = len(FRAME)
FIRMS = {
    "commas": RNG.choice(["Li, Ltd", "Li, Co", "Berg, Ltd", "Berg"], N).tolist(),
    "quotes": RNG.choice(['Jo "Red" Li', "Ann", 'The "Old" Mill'], N).tolist(),
    "apostrophes": RNG.choice(["O'Brien", "Ann", "D'Arcy, T."], N).tolist(),
    "paths": RNG.choice(["C:\\data\\new", "D:\\", "none"], N).tolist(),
}


def backslash(cell: str) -> str:
    return '"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace(",", "\\,")


def single(cell: str) -> str:
    return "'" + cell.replace("'", "''") + "'"


def double(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def written(firms: list[str], quoted: object, path: Path, delimiter: str = ",") -> Path:
    assert callable(quoted)
    frame = FRAME.assign(firm=[quoted(firm) for firm in firms])
    cells = frame.map(lambda value: "" if value != value else str(value))
    lines = [delimiter.join(map(str, frame)), *(delimiter.join(row) for row in cells.to_numpy().tolist())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


CASES = [
    ("commas", unquoted, ",", "backslash"),
    ("quotes", backslash, ",", "backslash"),
    ("quotes", backslash, ";", "backslash"),
    ("commas", single, ",", "single"),
    ("apostrophes", single, ",", "single"),
    ("apostrophes", single, "\t", "single"),
    ("commas", double, ",", "double"),
    ("quotes", double, ";", "double"),
    ("apostrophes", double, ",", "double"),
    ("paths", str, ",", "double"),
]


@pytest.mark.parametrize(("firms", "quoted", "delimiter", "quoting"), CASES)
def test_the_way_of_quoting_is_found_and_kept(
    firms: str, quoted: object, delimiter: str, quoting: str, tmp_path: Path
) -> None:
    path = written(FIRMS[firms], quoted, tmp_path / "h.csv", delimiter)
    found = examine(path, Wanted(TARGET))
    assert found.dialect.quoting == quoting
    read = table_of(path, where="h", dialect=found.dialect).to_pandas()
    assert read["firm"].tolist() == FIRMS[firms]
    assert [column.name for column in found.columns] == [*map(str, FRAME), "firm"]
    settings = parse_settings(config_text(found))
    assert settings.data.quoting == quoting
    rows = read_rows(path, settings.row_schema, target="required", where="h", dialect=settings.data).rows
    assert len(rows) == N


def test_a_missing_value_of_a_database_is_missing_beside_backslashes(tmp_path: Path) -> None:
    path = written(FIRMS["quotes"], backslash, tmp_path / "h.csv")
    lines = path.read_text(encoding="utf-8").splitlines()
    income = list(FRAME).index("income")
    for number in range(1, 60):
        cells = lines[number].split(",")
        cells[income] = "\\N"
        lines[number] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = examine(path, Wanted(TARGET))
    assert found.dialect.quoting == "backslash"
    settings = parse_settings(config_text(found))
    rows = read_rows(path, settings.row_schema, target="required", where="h", dialect=settings.data).rows
    column = settings.row_schema.names.index("income")
    assert np.isnan(rows.features[:59, column]).all()
    assert not np.isnan(rows.features[59:, column]).any() or FRAME["income"].isna().any()
