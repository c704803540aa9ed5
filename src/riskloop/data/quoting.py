"""Texts whose quotes are not those of CSV: single ones, or signs that a backslash takes their meaning from.

They are written again as CSV before anything else reads them, so that there is one way of quoting from there on.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from riskloop.core.schema import Quoting

NULL: Final = re.compile(
    r"(?m)(^|[\t,;|^~\x01\x1f])\\N(?=$|[\r\t,;|^~\x01\x1f])"
)  # how databases write a missing value
LINES: Final = 200  # that are looked at
SAID: Final[dict[Quoting, str]] = {"single": "single quotes", "backslash": "backslashes before quotes and delimiters"}


def as_csv(text: str, delimiter: str, quoting: Quoting) -> str:
    """The same records as CSV has them; one record a line where quotes hold no line ends."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    for record in _records(text, delimiter, quoting):
        if record:
            writer.writerow(record)
        else:
            out.write("\n")  # lines are counted on
    return out.getvalue()


def _records(text: str, delimiter: str, quoting: Quoting) -> Iterator[list[str]]:
    if quoting == "backslash":
        lines = io.StringIO(NULL.sub(r"\1", text), newline="")
        return csv.reader(lines, delimiter=delimiter, escapechar="\\")
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar="'" if quoting == "single" else '"')


def find_quoting(text: str, delimiter: str) -> Quoting:
    """How fields are quoted: as CSV does, unless another way cuts more lines into as many fields as most have names.

    Where both cut alike, single quotes are quotes if all values of a column stand in them, and backslashes escape if
    they stand before a quote within quotes.
    """
    if delimiter == " " or ("'" not in text and "\\" not in text):
        return "double"
    text = "\n".join([line for line in text.splitlines()[:-1] or text.splitlines() if line.strip()][:LINES])
    plain = _even(text, delimiter, "double")
    within = re.search(rf'(?m)(?:^|{re.escape(delimiter)})"[^"\n]*\\"(?!$|[\r{re.escape(delimiter)}])', text)
    ways: dict[Quoting, bool] = {"backslash": within is not None, "single": _all_single(text, delimiter)}
    for quoting, told in ways.items():
        even = _even(text, delimiter, quoting)
        if even > plain or (even == plain and told):
            return quoting
    return "double"


def _even(text: str, delimiter: str, quoting: Quoting) -> float:
    """The share of the lines that have as many fields as the header: the first line with the most usual number of them,
    or the first of all.
    """
    try:
        widths = [len(record) for record in _records(text, delimiter, quoting) if record]
    except csv.Error:
        return 0.0
    if len(widths) < text.count("\n") / 2:  # a quote that nothing closes took lines in
        return 0.0
    return Counter(widths)[widths[0]] / len(widths) if widths else 0.0


def _all_single(text: str, delimiter: str) -> bool:
    """Whether each value of a column, or each that is there, stands between single quotes."""
    records = [record for record in _records(text, delimiter, "double") if record][1:]
    width = Counter(map(len, records)).most_common(1)[0][0] if records else 0
    columns = zip(*(record for record in records if len(record) == width), strict=True)
    filled = ([cell.strip() for cell in column if cell.strip()] for column in columns)
    return any(
        len(cells) > 1 and all(len(cell) > 1 and cell[0] == "'" == cell[-1] for cell in cells) for cells in filled
    )
