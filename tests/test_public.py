"""The public surface is frozen: a change of it has to be meant, because users' notebooks and scripts use it."""

import inspect

import riskloop
from riskloop import Portfolio


def test_the_package_exports_its_front_door_only() -> None:
    assert set(riskloop.__all__) == {"Portfolio", "__version__"}


def test_the_contract_of_the_python_api() -> None:
    public = {name for name, _ in inspect.getmembers(Portfolio) if not name.startswith("_")}
    assert public >= {"open", "train", "score", "record_outcomes", "cycle", "models", "cases", "promote", "rollback"}
    assert public >= {"replay", "status", "drift", "compare", "approve", "reject", "release", "model", "case"}
    assert all(inspect.getdoc(getattr(Portfolio, name)) for name in public)
