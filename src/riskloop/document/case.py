"""The gate's report of a case, for signature: why, what was tried, what the gate found, and who decides."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from riskloop.cases import Case, CaseStep
from riskloop.cases.events import Judged
from riskloop.cases.people import NoteKind
from riskloop.core.english import counted
from riskloop.core.numbers import NOTHING, between, between_shares, chance, number, percent, points
from riskloop.core.settings import Settings
from riskloop.core.titles import CHECKS
from riskloop.core.types import Json
from riskloop.document import texts, verdicts
from riskloop.document import windows as over_time
from riskloop.document.parts import (
    MISSING,
    Block,
    Bullets,
    Chart,
    Curves,
    Facts,
    Grid,
    Paper,
    PaperSection,
    Said,
    Series,
    missing,
)
from riskloop.document.write import moment, words
from riskloop.results import ChallengerFileResult
from riskloop.store.case_notes import attention
from riskloop.store.cases import Cases
from riskloop.store.home import Home
from riskloop.store.windows import Windows

SIGNERS: Final = ("Prepared by", "Validated by", "Approved or rejected by")
_MARKS: Final = {True: "passed", False: "FAILED", None: "undecided"}


def case_paper(home: Home, number_: int, file: ChallengerFileResult | None, now: datetime) -> Paper:
    """The report of a case; ``file`` is its challenger file, None while the gate has said nothing.

    NotFound where there is no such case.
    """
    case, steps = home.cases.get(number_), home.cases.steps(number_)
    name = f"case-{number_}"
    quoted = texts.of_document(home.documents, name)
    sections: list[PaperSection] = [
        PaperSection("finding", "What was found", _found(home.windows, case, steps)),
        PaperSection("verdict", "What the gate found", _verdict(case, file)),
    ]
    if file is not None and file.file is not None:
        content, names = file.file, (f"version {file.champion}", f"version {file.challenger}")
        sections += [
            PaperSection("ranking", "Ranking", _ranking(content, names)),
            PaperSection("grades", "Calibration by grade", _grades(content, names)),
            PaperSection("swap", "Who changes side", _swap(content, names)),
            PaperSection("groups", "Protected groups and segments", _groups(content, home.settings)),
            PaperSection("effects", "What moved most", _moved(content, names, home.settings)),
            PaperSection("benchmark", "What the complexity buys", _benchmark(content, names)),
            PaperSection("money", "Money", _money(content, names)),
        ]
    sections += [
        PaperSection("made", "How the challenger was made", _made(steps)),
        PaperSection("story", "What the loop and people did", (_story(steps), *_people(home.cases, case, steps))),
        PaperSection("notes", "Notes", (missing("Notes by people"),) if quoted is None else (quoted,)),
    ]
    return Paper(
        name,
        f"Case {number_}: {words(case.diagnosis.value)}. Report of the gate for signature",
        home.settings.portfolio.name,
        now,
        _card(case, file),
        tuple(sections),
        SIGNERS,
    )


def _card(case: Case, file: ChallengerFileResult | None) -> tuple[tuple[str, str], ...]:
    pairs = [
        ("Case", f"{case.id}, {words(case.state.value)}"),
        ("Opened", moment(case.opened_at)),
        ("Closed", "still open" if case.closed_at is None else moment(case.closed_at)),
        ("Closed by", "–" if case.closed_at is None else case.closed_by or MISSING),
        ("Champion", MISSING if case.champion is None else f"version {case.champion}"),
        ("Challenger", "none" if case.challenger is None else f"version {case.challenger}"),
    ]
    if file is None:
        return (*pairs, ("Fingerprint of the report", f"{MISSING}: the gate has said nothing yet"))
    return (*pairs, ("Verdict of the gate", words(file.verdict)), ("Fingerprint of the report", file.fingerprint))


def _found(store: Windows, case: Case, steps: Sequence[CaseStep]) -> tuple[Block, ...]:
    windows = store.of_case(case.id)
    first = store.get(case.window_id)
    if first is not None and all(window.id != first.id for window in windows):
        windows.insert(0, first)
    blocks: list[Block] = [Said(steps[0].sentence if steps else case.sentence, "lead")]
    if not windows:
        return (*blocks, missing("Windows of this case"))
    said = tuple(f"{window.name}: {window.sentence}" for window in windows)
    return (*blocks, over_time.window_table(windows), Bullets(said))


# --------------------------------------------------------------------------- the gate's table


def _verdict(case: Case, file: ChallengerFileResult | None) -> tuple[Block, ...]:
    if file is None:
        return (missing("A report of the gate (no challenger has been judged)"),)
    rows = tuple(
        (
            _called(line["name"]),
            _MARKS[line["passed"]] if line["judged"] else "shown",
            line["limit"] or NOTHING,
            _measured(line["champion"], line["unit"]),
            _measured(line["challenger"], line["unit"]),
            _measured(line["change"], line["unit"], signed=True),
            _span(line),
        )
        for line in file.table
    )
    marked = frozenset(n for n, line in enumerate(file.table) if line["judged"] and line["passed"] is False)
    head = ("Check", "Verdict", "Limit", f"Version {file.champion}", f"Version {case.challenger}", "Change", "95%")
    sentences = tuple(
        f"{_called(line['name'])}: {line['sentence']}" + (f" ({line['source']})" if line["source"] else "")
        for line in file.table
        if line["sentence"]
    )
    blocks: list[Block] = [
        Said(file.sentence, "lead"),
        Grid("Both models on the evaluated decisions, failed checks first", head, rows, words=3, marked=marked),
        Bullets(sentences),
    ]
    if file.file is None:
        return (*blocks, missing("The scores behind the report, and with them curves, grades and groups"))
    content = file.file
    pairs = (
        ("Decisions with an outcome", f"{number(content['rows'])}, of which {number(content['defaults'])} defaulted"),
        ("Customers behind them", _customers(content)),
        ("Applicants", number(content["applicants"])),
        ("Thresholds", " and ".join(percent(value, 2) for value in content["thresholds"])),
    )
    return (*blocks, Facts(pairs))


def _called(name: str) -> str:
    return CHECKS.get(name, words(name))


def _customers(file: Json) -> str:
    """Where nobody comes twice the file names no number of its own."""
    return f"{number(file['rows'])}, nobody twice" if file["customers"] is None else number(file["customers"])


def _measured(value: float | None, unit: str, signed: bool = False) -> str:
    if unit == "share":
        return f"{points(value)} points" if signed and value is not None else percent(value)
    digits = {"count": 0, "ms": 2, "ratio": 3, "money": 2}.get(unit, 4)
    plus = "+" if signed and value is not None and value > 0 else ""
    return plus + number(value, digits)


def _span(line: Json) -> str:
    if line["lower"] is None or line["upper"] is None:
        return NOTHING
    low, high = (_measured(line[side], line["unit"], True) for side in ("lower", "upper"))
    return f"{low.removesuffix(' points')} to {high}"


# --------------------------------------------------------------------------- the challenger file

Names = tuple[str, str]


def _ranking(file: Json, names: Names) -> tuple[Block, ...]:
    lines = tuple((name, tuple(c["x"]), tuple(c["y"])) for name, c in zip(names, file["roc"], strict=True))
    area = file["measures"]["auc"]
    pairs = (
        *((name, number(area[side], 4)) for name, side in zip(names, ("champion", "challenger"), strict=True)),
        ("Change, 95%", f"{_measured(area['change'], 'score', True)} ({between(area['lower'], area['upper'], 4)})"),
    )
    return (
        verdicts.ranking(file),
        Facts(pairs),
        Curves("ROC on the same decisions", ("share of the good", "share of the defaults"), lines),
    )


def _grades(file: Json, names: Names) -> tuple[Block, ...]:
    rows, series = [], []
    for name, side in zip(names, ("champion", "challenger"), strict=True):
        found = [grade[side] for grade in file["grades"]]
        rates = [None if one is None else one["rate"] for one in found]
        parts = (tuple(None if r is None else r[key] for r in rates) for key in ("value", "lower", "upper"))
        series += [
            Series(f"mean PD, {name}", tuple(None if one is None else one["pd"] for one in found)),
            Series(f"defaulted, {name}", *parts),
        ]
        rows += [
            (
                name,
                words(grade["grade"]),
                number(one["rows"]),
                number(one["defaults"]),
                percent(one["pd"]),
                percent(one["rate"]["value"]),
                between_shares(one["rate"]["lower"], one["rate"]["upper"]),
                chance(one["p"]),
            )
            for grade, one in zip(file["grades"], found, strict=True)
            if one is not None
        ]
    head = ("Model", "Grade", "Decisions", "Defaults", "Mean PD", "Defaulted", "Jeffreys 95%", "p")
    labels = tuple(words(grade["grade"]) for grade in file["grades"])
    return (
        verdicts.case_grades(file, names),
        Chart("Mean PD and default rate by each model's own grades", labels, tuple(series), percent=True),
        Grid("Calibration by grade", head, tuple(rows), words=2),
    )


_SIDES: Final = {
    "both_approve": "approved by both",
    "swapped_in": "only the challenger approves",
    "swapped_out": "only the champion approves",
    "both_decline": "declined by both",
}


def _swap(file: Json, names: Names) -> tuple[Block, ...]:
    rows = tuple(
        (
            _SIDES.get(side["side"], words(side["side"])),
            number(side["applicants"]),
            percent(side["share"]),
            percent(side["champion_pd"]),
            percent(side["challenger_pd"]),
            number(side["known"]),
            _rate(side["rate"]),
        )
        for side in file["swap"]
    )
    head = ("Applicants", "Number", "Share", f"PD, {names[0]}", f"PD, {names[1]}", "Outcome known", "Defaulted, 95%")
    return (
        verdicts.swap(file),
        Grid("Swap set", head, rows),
    )


def _rate(rate: Json | None) -> str:
    return NOTHING if rate is None else f"{percent(rate['value'])} ({between_shares(rate['lower'], rate['upper'])})"


def _groups(file: Json, settings: Settings) -> tuple[Block, ...]:
    if not file["segments"]:
        return (missing("Protected groups and segments"),)
    ordered = sorted(file["segments"], key=lambda group: not group.get("protected", False))
    rows = tuple(
        (
            f"{settings.called(group['feature'])} = {group['group']}"
            + (" (protected)" if group.get("protected") else ""),
            number(group["applicants"]),
            _both(group["approved"], percent),
            f"{points(group['approved']['change'])} ({_points(group['approved'])})",
            NOTHING if group["auc"] is None else _both(group["auc"], lambda value: number(value, 3)),
            _rate(group["rate"]),
        )
        for group in ordered
    )
    head = ("Group", "Applicants", "Approved", "Points, 95%", "AUC", "Defaulted, 95%")
    return (
        verdicts.groups(file, settings.called),
        Grid("From champion to challenger, the same people", head, rows),
    )


def _both(measure: Json, write: Any) -> str:
    return f"{write(measure['champion'])} → {write(measure['challenger'])}"


def _points(measure: Json) -> str:
    return f"{points(measure['lower'])} to {points(measure['upper'])}"


def _moved(file: Json, names: Names, settings: Settings) -> tuple[Block, ...]:
    if not file["moved"]:
        return (Said("No partial effect differs."),)
    tables = tuple(
        Grid(
            f"Mean PD with everybody's {settings.called(one['feature'], unit=True)} at a value",
            ("Value", *names),
            tuple(
                (str(value), percent(before), percent(after))
                for value, before, after in zip(one["values"], one["champion"], one["challenger"], strict=True)
            ),
        )
        for one in file["moved"]
    )
    return (verdicts.effects(file, settings.called), *tables)


def _benchmark(file: Json, names: Names) -> tuple[Block, ...]:
    found = file.get("benchmark")
    if found is None:
        return (missing("A plain scorecard on the same decisions (none was scored, or the challenger is one)"),)
    rows = [("a plain scorecard", number(found["auc"], 4), NOTHING)]
    for name, one in zip(names, (found["champion"], found["challenger"]), strict=True):
        above = f"{_measured(one['value'], 'score', True)} ({between(one['lower'], one['upper'], 4)})"
        rows.append((name, number(one["auc"], 4), above))
    return (
        verdicts.benchmark(found, names),
        Grid("AUC on the same decisions", ("Model", "AUC", "Above the scorecard, 95%"), tuple(rows)),
    )


def _money(file: Json, names: Names) -> tuple[Block, ...]:
    money = file["money"]
    if money is None:
        return (missing("What decisions cost and earn (settings money.default_cost and money.good_gain)"),)
    row = (
        "approved customers only",
        number(money["champion"]),
        number(money["challenger"]),
        f"{number(money['change'])} ({between(money['lower'], money['upper'], 0)})",
    )
    said = (
        f"A default costs {number(money['default_cost'], 2)}, a good customer brings {number(money['good_gain'], 2)}."
    )
    head = (f"Gain per {number(money['per'])} customers with an outcome", *names, "Change, 95%")
    return (verdicts.money(money), Grid("Money", head, (row,)), Said(said, "note"))


# --------------------------------------------------------------------------- the story


def _made(steps: Sequence[CaseStep]) -> tuple[Block, ...]:
    judged = next((s.event for s in reversed(steps) if isinstance(s.event, Judged)), None)
    made = None if judged is None else judged.record
    if made is None:
        return (missing("How a challenger was made"),)
    pairs = (
        ("Learner", words(made.learner)),
        ("Weighting", words(made.weighting)),
        ("Effective size", number(made.effective_size, 1)),
        ("Blended with a model from before", "yes" if made.blended else "no"),
        ("Fingerprint of the rows", made.fingerprint),
    )
    tried = sorted(made.validation.items(), key=lambda item: -item[1])
    grid = Grid(
        "Ways that were validated",
        ("Learner and weighting", "AUC"),
        tuple((words(name), number(auc, 4)) for name, auc in tried),
    )
    said = tuple(sentence for sentence in (made.plan, made.training, made.evaluation) if sentence)
    ways = f", chosen from {counted(len(tried), 'way')} that were validated" if tried else ""
    lead = f"The challenger is a {words(made.learner)} with the weighting {words(made.weighting)}{ways}."
    return (verdicts.lead(lead), Bullets(said), Facts(pairs), *((grid,) if tried else ()))


def _story(steps: Sequence[CaseStep]) -> Grid:
    rows = tuple((moment(step.at), words(step.state.value), step.by, step.sentence) for step in steps)
    return Grid("Every step", ("When", "State", "By", "What"), rows, words=4)


def _people(cases: Cases, case: Case, steps: Sequence[CaseStep]) -> tuple[Block, ...]:
    """Comments, assignments and acknowledgements; nothing where nobody said anything."""
    said = attention(cases, case, steps).notes
    deeds = {NoteKind.COMMENT: "commented", NoteKind.ACKNOWLEDGEMENT: "acknowledged it"}
    rows = tuple(
        (moment(n.at), n.by, deeds.get(n.kind, f"assigned it to {n.person or 'nobody'}"), n.text or NOTHING)
        for n in said
    )
    return (Grid("What people said", ("When", "By", "Did", "Said"), rows, words=4),) if rows else ()
