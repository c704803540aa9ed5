"""The public surface is frozen: a change of it has to be meant, because users' notebooks and scripts use it.

A meant change is written by ``python tests/test_public.py > tests/public.txt``, and reviewed.
"""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import riskloop
from riskloop.core import errors

FROZEN = Path(__file__).with_name("public.txt")
RESULTS = sorted(name for name in riskloop.__all__ if name.endswith("Result"))


def surface() -> Iterator[str]:
    """Every public name with its signature, the members of its class included."""
    for name in sorted(riskloop.__all__, key=str.lower):
        thing = getattr(riskloop, name)
        if name == "__version__":
            yield name
        elif issubclass(thing, Exception):
            yield f"{name}({thing.__base__.__name__})  {thing.code}  {thing.status}  {thing.exit_code}"
        else:
            yield f"{name}({', '.join(_fields(thing))})"
            yield from _members(thing)


def _fields(thing: type) -> Iterator[str]:
    for field in fields(thing) if is_dataclass(thing) else ():
        yield f"{field.name}: {field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)}"


def _members(thing: type) -> Iterator[str]:
    """Its own, and those of the parts that it is made of; what every result has is said once."""
    parts = [part for part in thing.__mro__[:-1] if part is thing or part.__name__ == "Deciding"]
    for name, member in sorted({name: member for part in parts[::-1] for name, member in vars(part).items()}.items()):
        if name.startswith("_") or (
            not isinstance(member, property | classmethod | staticmethod) and not callable(member)
        ):
            continue
        if isinstance(member, property):
            yield f"    {name} -> {inspect.signature(member.fget).return_annotation}"  # type: ignore[arg-type]
        else:
            yield f"    {name}{inspect.signature(getattr(thing, name))}"


def test_names_and_signatures_are_the_frozen_ones() -> None:
    assert list(surface()) == FROZEN.read_text(encoding="utf-8").splitlines()


def test_no_signature_shows_a_function_without_a_name() -> None:
    assert not [line for line in surface() if "<function" in line or "lambda" in line]


def test_every_error_is_exported() -> None:
    tree = {
        name
        for name, member in vars(errors).items()
        if inspect.isclass(member) and issubclass(member, errors.RiskloopError)
    }
    assert {name for name in riskloop.__all__ if not name.endswith(("Result", "Portfolio", "__"))} == tree


def test_every_public_thing_is_documented() -> None:
    for name in set(riskloop.__all__) - {"__version__"}:
        thing = getattr(riskloop, name)
        assert inspect.getdoc(thing), name
        public = [member for member in vars(thing) if not member.startswith("_") and callable(getattr(thing, member))]
        assert all(inspect.getdoc(getattr(thing, member)) for member in public), name


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_frozen_and_say_what_they_are_as_json(name: str) -> None:
    kind = getattr(riskloop, name)
    values = {field.name: datetime(2025, 5, 1, tzinfo=UTC) for field in fields(kind)}
    result = kind(**values)
    assert result.to_dict() == dict.fromkeys(values, "2025-05-01T00:00:00Z")
    for field in values:
        with pytest.raises(FrozenInstanceError):
            setattr(result, field, None)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Portfolios'"):
        _ = riskloop.Portfolios


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import riskloop, sys; print([m for m in ('numpy', 'pandas', 'msgspec', 'sqlalchemy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


if __name__ == "__main__":
    print("\n".join(surface()))
