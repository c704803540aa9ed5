"""Records of XML exports: the same rows as a table, and nothing that a document declares is followed."""

from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import TARGET, history

from riskloop.core.errors import MalformedBody
from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows
from riskloop.data.xmlrows import xml_rows

FRAME = history(120, seed=9)


def rows(frame: pd.DataFrame) -> list[dict[str, str]]:
    texts = frame.astype(object).where(frame.notna(), "").astype(str)
    return [{str(k): v for k, v in row.items() if v} for row in texts.to_dict("records")]


def elements(row: dict[str, str], prefix: str = "") -> str:
    return "".join(f"<{prefix}{name}>{escape(value)}</{prefix}{name}>" for name, value in row.items())


def within(row: dict[str, str]) -> str:
    inside = {name: value for name, value in row.items() if name in ("income", "late")}
    outside = {name: value for name, value in row.items() if name not in inside}
    return f"<loan>{elements(outside)}<person>{elements(inside)}</person></loan>"


WAYS: dict[str, Callable[[list[dict[str, str]]], str]] = {
    "elements": lambda rows: "<rows>" + "\n".join(f"<row>{elements(r)}</row>" for r in rows) + "</rows>",
    "attributes": lambda rows: (
        "<rows>"
        + "".join("<row " + " ".join(f"{n}={quoteattr(v)}" for n, v in r.items()) + "/>" for r in rows)
        + "</rows>"
    ),
    "below a head": lambda rows: (
        "<export><head><by>DWH</by><fields><f n='1'/><f n='2'/></fields></head><data>"
        + "".join(f"<loan>{elements(r)}</loan>" for r in rows)
        + "</data></export>"
    ),
    "namespaces": lambda rows: (
        "<x:rows xmlns:x='urn:x'>" + "".join(f"<x:row>{elements(r, 'x:')}</x:row>" for r in rows) + "</x:rows>"
    ),
    "fields in fields": lambda rows: "<rows>" + "".join(map(within, rows)) + "</rows>",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("declared", ["", "<?xml version='1.0' encoding='UTF-8'?>\n", "utf-16", "iso-8859-1"])
def test_records_are_the_rows_of_a_table(way: str, declared: str, tmp_path: Path) -> None:
    encoding = declared if "<" not in declared and declared else "utf-8"
    head = f"<?xml version='1.0' encoding='{encoding}'?>" if encoding != "utf-8" else declared
    (tmp_path / "h.xml").write_text(head + WAYS[way](rows(FRAME)), encoding=encoding)
    found = examine(tmp_path / "h.xml", Wanted(TARGET))
    settings = parse_settings(config_text(found))
    assert len(settings.features) == 3
    read = read_rows(tmp_path / "h.xml", settings.row_schema, target="required", where="h", dialect=settings.data)
    assert not read.refused
    names = [name.removeprefix("person.") for name in settings.row_schema.names]
    for place, name in enumerate(names):
        if name == "purpose":
            levels = [settings.row_schema.features[place].text(code) for code in read.rows.features[:, place]]
            assert levels == FRAME[name].tolist()
        else:
            np.testing.assert_array_equal(read.rows.features[:, place], FRAME[name])


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ('<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>', "declares the entity 'a'"),
        ('<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/hostname">]>', "declares the entity 'a'"),
        ("<!DOCTYPE r [<!ENTITY % p 'x'>]>", "declares the entity 'p'"),
    ],
)
def test_entities_are_not_followed(head: str, said: str) -> None:
    body = "<r><e><x>&a;</x></e><e><x>2</x></e></r>"
    with pytest.raises(MalformedBody, match=said):
        xml_rows((head + body).encode(), "h.xml")


@pytest.mark.parametrize(
    ("text", "said"),
    [("<r><e><x>1</x></e>", "no element found"), ("<r><e>" + "<x>" * 500, "more than 100 elements")],
)
def test_a_damaged_document_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(MalformedBody, match=said):
        xml_rows(text.encode(), "h.xml")


@pytest.mark.parametrize("text", ["<a><b>1</b></a>", "<a><b><c>1</c></b></a>", "<a><b/><b/></a>"])
def test_what_does_not_repeat_or_has_no_fields_is_no_table(text: str) -> None:
    assert xml_rows(text.encode(), "h.xml") is None
