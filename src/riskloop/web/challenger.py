"""The challenger file as a page: what an approver reads, and at its end signs."""

from riskloop.core.settings import Settings
from riskloop.core.types import Json
from riskloop.results import ChallengerFileResult
from riskloop.store.cases import Cases
from riskloop.web import figures, words
from riskloop.web.orders import orders_of


def file_page(cases: Cases, settings: Settings, read: ChallengerFileResult) -> Json:
    """The file of a case, and what may be ordered about it now."""
    case = cases.get(read.case)
    orders = orders_of(case, [], cases.steps(case.id))
    return {
        "case": case,
        "read": read,
        "file": read.file,
        "names": _names(read),
        "orders": [order for order in orders if order.name in ("approve", "reject")],
        "figures": drawn(settings, read),
    }


def _names(read: ChallengerFileResult) -> tuple[str, str]:
    return f"version {read.champion}", f"version {read.challenger}"


def drawn(settings: Settings, read: ChallengerFileResult) -> dict[str, Json]:
    """The figures of a file; none where an earlier version kept none."""
    if read.file is None:
        return {}
    file, names = read.file, _names(read)
    found = {
        "roc": figures.roc({name: (c["x"], c["y"]) for name, c in zip(names, file["roc"], strict=True)}),
        "grades": figures.grade_bands(
            [words.RISK_LEVELS[grade["grade"]] for grade in file["grades"]],
            {
                name: [grade[side] for grade in file["grades"]]
                for name, side in zip(names, ("champion", "challenger"), strict=True)
            },
        ),
        "scores": figures.scores(
            file["scores"]["edges"],
            dict(zip(names, file["scores"]["shares"], strict=True)),
            dict(zip(names, file["thresholds"], strict=True)),
        ),
    }
    for number, one in enumerate(file["moved"], start=1):
        curves = {names[0]: one["champion"], names[1]: one["challenger"]}
        found[f"effect-{number}"] = figures.effect(
            one["values"], curves, one["kind"] == "category", settings.called(one["feature"], unit=True)
        )
    return found
