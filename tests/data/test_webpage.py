"""Tables of pages: cells that span others, tables within tables, pages that were cut off, and pages without a table."""

import csv
from pathlib import Path

import pytest

from riskloop.core.errors import MalformedBody
from riskloop.data.infer import Wanted, examine
from riskloop.data.webpage import is_webpage, table_text

ROWS = [["id", "x", "y"], ["1", "2", "3"], ["4", "5", "6"]]
PLAIN = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in ROWS)
PAGES = {
    "plain": f"<table>{PLAIN}</table>",
    "capitals, no ends": "<HTML><TABLE><TR><TD>id<TD>x<TD>y<TR><TD>1<TD>2<TD>3<TR><TD>4<TD>5<TD>6</TABLE>",
    "names above names": "<table><tr><th rowspan=2>id</th><th colspan=2>both</th></tr><tr><th>x</th><th>y</th></tr>"
    + PLAIN.split("</tr>", 1)[1]
    + "</table>",
    "a table for the looks": f"<table><tr><td><table>{PLAIN}</table></td><td>menu</td></tr></table>",
    "cut off": f"<html><body><table>{PLAIN}<tr><td>",
    "marks and lines": f"<table>{PLAIN.replace('>2<', '><font><b> 2<br></b></font><')}</table>",
    "Excel's numbers": f"<table>{PLAIN.replace('<td>2<', '<td x:num=2>2.00 EUR<')}</table>",
    "Excel's XML": "<?xml version='1.0'?><ss:Workbook><ss:Table>"
    + PLAIN.replace("tr>", "ss:Row>").replace("<td>", "<ss:Cell><ss:Data>").replace("</td>", "</ss:Data></ss:Cell>")
    + "</ss:Table></ss:Workbook>",
}


@pytest.mark.parametrize("name", PAGES)
def test_the_table_of_a_page_is_its_rows(name: str) -> None:
    content = PAGES[name].encode()
    assert is_webpage(content)
    text = table_text(content)
    assert text is not None
    rows = [row for row in csv.reader(text.decode().splitlines()) if any(row)]
    if name == "names above names":
        assert rows == [["id", "both", ""], *ROWS]
    else:
        assert rows[-3:] == ROWS


@pytest.mark.parametrize(
    "page", ["<html><body>Please log in</body></html>", "<?xml version='1.0'?><a><b>1</b></a>", "<!DOCTYPE html>"]
)
def test_a_page_without_a_table_is_refused(page: str, tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(page)
    with pytest.raises(MalformedBody, match="web page or XML without a table"):
        examine(tmp_path / "h.csv", Wanted("y"))
