"""Typed manifests, their bytes, and the readers of old formats."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import handmade

from riskloop.core import manifest
from riskloop.core.errors import ArtefactError
from riskloop.core.manifest import FORMAT, READERS, EvaluationManifest, HistoryManifest, ModelManifest, parse, seal
from riskloop.core.schema import Feature, Schema

OLD = Path(__file__).parent.parent / "old" / "format_1" / "models"
SCHEMA = Schema((Feature("debt", low=0.0), Feature("job", "category", categories=("a", "b"))), target="bad")


def of_the_kind(text: bytes) -> type[manifest.Manifest]:
    kinds: dict[str, type[manifest.Manifest]] = {"history": HistoryManifest, "evaluation": EvaluationManifest}
    return kinds.get(json.loads(text).get("kind"), ModelManifest)


@pytest.mark.parametrize("path", sorted(OLD.glob("*/manifest.json")), ids=lambda path: path.parent.name)
def test_a_manifest_of_format_1_is_read_and_written_to_the_byte(path: Path) -> None:
    """So that old versions can be made again byte for byte."""
    text = path.read_bytes()
    read = parse(text, of_the_kind(text))
    again = seal(read, {name: path.with_name(name).read_bytes() for name in read.files})
    assert again.text == text
    assert again.sha256.startswith(path.parent.name)
    assert set(json.loads(text)) == set(read.__struct_fields__), "nothing that was written is dropped"


def test_all_kinds_of_old_models_are_there() -> None:
    """Else the test above would prove little."""
    read = [
        parse(text, ModelManifest)
        for text in map(Path.read_bytes, OLD.glob("*/manifest.json"))
        if b'"kind": "history"' not in text
    ]
    assert {(one.origin, one.model_file) for one in read} == {
        ("train", "scorecard.json"),
        ("train", "model.txt"),
        ("recalibrate", "scorecard.json"),
        ("retrain", "scorecard.json"),
    }
    orders = [one.training.record.order for one in read if one.training.record]
    assert any(order is not None and order.snapshot.quarantined for order in orders)


def test_the_number_is_the_one_that_its_reader_has() -> None:
    assert FORMAT in READERS
    assert max(READERS) == FORMAT


def test_a_raised_number_is_written_and_the_old_one_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CONTRIBUTING says: the old layout keeps a reader, beside the number."""
    whole = handmade.manifest(SCHEMA)
    old = seal(whole, {}).text

    def format_2(text: bytes, kind: type[Any]) -> Any:  # the threshold was renamed
        document = json.loads(text)
        document["threshold"] = document.pop("cut_off")
        return msgspec.convert(document, kind)

    monkeypatch.setitem(READERS, 2, format_2)
    new = seal(msgspec.structs.replace(whole, format=2), {}).text
    assert json.loads(new)["format"] == 2
    renamed = new.replace(b'"threshold": 0.5', b'"cut_off": 0.5')
    assert parse(renamed, ModelManifest).threshold == 0.5
    assert parse(old, ModelManifest) == whole


@pytest.mark.parametrize("number", [FORMAT + 1, 99])
def test_a_newer_number_is_refused(number: int) -> None:
    with pytest.raises(ArtefactError, match=f"has format {number}.*Upgrade"):
        parse(json.dumps({"format": number, "files": {}}).encode(), ModelManifest)


@pytest.mark.parametrize(
    "key", [field for field in ModelManifest.__struct_fields__ if field not in {"format", "files"}]
)
def test_a_key_that_is_missing_is_named(key: str) -> None:
    document = json.loads(seal(handmade.manifest(SCHEMA), {}).text)
    del document[key]
    with pytest.raises(ArtefactError, match=f"not a ModelManifest that riskloop wrote.*{key}"):
        parse(json.dumps(document).encode(), ModelManifest)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_does_not_know_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        seal(handmade.manifest(SCHEMA, threshold=value), {})


def test_a_manifest_comes_back_as_it_was() -> None:
    whole = handmade.manifest(
        SCHEMA, training=msgspec.structs.replace(handmade.manifest(SCHEMA).training, record=handmade.record())
    )
    sealed = seal(whole, {"b": b"2", "a": b"1"})
    assert parse(sealed.text, ModelManifest) == sealed.manifest
    assert list(sealed.manifest.files) == ["a", "b"]
