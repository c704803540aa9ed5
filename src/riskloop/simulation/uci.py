"""The UCI "default of credit card clients" data (Yeh, 2009), as it is published, into riskloop's words."""

from pathlib import Path
from typing import TYPE_CHECKING

from riskloop.core.errors import DataError, MalformedBody, NotFound
from riskloop.core.types import Problem
from riskloop.simulation.embedded import BILLS, FEATURES, ID, PAYMENTS, TARGET

if TYPE_CHECKING:
    import pandas as pd

# The published files differ in these headers.
RENAMED = {
    "default.payment.next.month": TARGET,
    "default payment next month": TARGET,
    "PAY_1": "PAY_0",
}
UCI_COLUMNS = (ID, *FEATURES, TARGET)
AMOUNTS = ("LIMIT_BAL", *BILLS, *PAYMENTS)


def load_uci(path: Path | str) -> "pd.DataFrame":
    """The UCI csv at ``path``: columns ``ID``, the 23 features and ``default``; no time column.

    The dtypes are the embedded portfolio's: amounts float64, codes and target int64. Raises NotFound when there is
    no such file, MalformedBody when it is not a CSV, DataError naming every column or value that does not fit.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise NotFound(f"There is no file {path}; give the path of the UCI credit-card csv.")
    try:
        frame = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise MalformedBody(f"{path} is not a CSV file: {error}") from error
    frame = frame.rename(columns=lambda name: RENAMED.get(str(name).strip(), str(name).strip()))
    _refuse(path, _column_problems(frame))
    _refuse(path, _value_problems(frame))
    if frame.empty:
        raise DataError(f"{path} has a header and no rows.")
    codes = [name for name in UCI_COLUMNS if name not in AMOUNTS]
    dtypes = {**dict.fromkeys(codes, "int64"), **dict.fromkeys(AMOUNTS, "float64")}
    return frame[list(UCI_COLUMNS)].astype(dtypes)


def _refuse(path: Path, problems: list[Problem]) -> None:
    if problems:
        listed = "; ".join(f"{p.field} {p.problem}" for p in problems)
        raise DataError(f"{path} is not the UCI credit-card data: {listed}.", problems)


def _column_problems(frame: "pd.DataFrame") -> list[Problem]:
    names = list(frame.columns)
    missing = [Problem(name, "is missing") for name in UCI_COLUMNS if name not in names]
    unknown = [Problem(name, "is not one of its columns") for name in names if name not in UCI_COLUMNS]
    twice = [Problem(name, "appears twice") for name in sorted({n for n in names if names.count(n) > 1})]
    return missing + unknown + twice


def _value_problems(frame: "pd.DataFrame") -> list[Problem]:
    import pandas as pd

    problems = []
    for name in UCI_COLUMNS:
        values = pd.to_numeric(frame[name], errors="coerce")
        bad = values.isna() if name in AMOUNTS else values.isna() | (values % 1 != 0)
        if name == TARGET:
            bad |= ~values.isin((0, 1))
        if bad.any():
            row = int(bad.to_numpy().argmax())
            problems.append(Problem(name, f"has no usable number in data row {row + 1}", frame[name].iloc[row]))
    if frame[ID].duplicated().any():
        problems.append(Problem(ID, "has values that appear twice"))
    return problems
