"""What a section with figures comes to, in one sentence: it stands first, and the figures behind it."""

from collections.abc import Callable, Sequence
from typing import Final

from riskloop.core.english import counted
from riskloop.core.manifest import ModelManifest
from riskloop.core.numbers import between, number, percent, points
from riskloop.core.types import Ints, Json
from riskloop.document.parts import Said
from riskloop.document.sample import FeatureRow, GradeRow, GroupRow, Shifted, herfindahl, shares
from riskloop.document.windows import OFF, GradedWindow, WindowRecord
from riskloop.document.write import words
from riskloop.scoring.model import LEVELS

Called = Callable[[str], str]  # how people call a feature
ALPHA: Final = 0.05  # of all grades together, at training
_TOP: Final = 3  # features that are named


def lead(*sentences: str) -> Said:
    """The verdict of a section."""
    return Said(" ".join(sentence for sentence in sentences if sentence), "lead")


def named(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), *names[-1:]])


def learners(manifest: ModelManifest) -> Said:
    """Who was chosen, and how far from the best."""
    ordered = sorted(manifest.comparison.items(), key=lambda item: -item[1].auc)
    if not ordered:
        return lead(f"{words(manifest.learner).capitalize()} is the learner; no other one competed.")
    best, own = ordered[0], manifest.comparison.get(manifest.learner)
    if len(ordered) == 1 and own is not None:
        return lead(
            f"{_capital(words(manifest.learner))} is the learner, with a cross-validated AUC of {number(own.auc, 3)}."
        )
    how = f"{words(manifest.learner)} was chosen from {counted(len(ordered), 'learner')}"
    if own is None or best[0] == manifest.learner:
        return lead(f"{_capital(how)}: its AUC of {number(best[1].auc, 3)} is the best.")
    return lead(
        f"{_capital(how)}: its AUC is {number(own.auc, 3)}; the best, {words(best[0])}, has {number(best[1].auc, 3)}."
    )


def features(found: Sequence[FeatureRow], called: Called) -> Said:
    """What carries the model, and whether a demanded direction is broken."""
    top = sorted(found, key=lambda one: -one.importance)[:_TOP]
    share = sum(one.importance for one in top)
    against = [called(one.name) for one in found if one.against]
    asked = sum(one.against is not None for one in found)
    kept = (
        f"{named(against)} {'goes' if len(against) == 1 else 'go'} against the demanded direction for some customers."
        if against
        else f"Every demanded direction is kept ({counted(asked, 'feature')})."
        if asked
        else "No direction is demanded of any feature."
    )
    return lead(
        f"Of {counted(len(found), 'feature')}, {named([called(one.name) for one in top])} carry {percent(share)} of "
        "the importance.", kept,
    )  # fmt: skip


def discrimination(trained: float | None, record: WindowRecord) -> Said:
    """AUC at training, and what outcomes said last."""
    at = "" if trained is None else f"The AUC at training is {number(trained, 3)}."
    judged = [(w, found) for w in record.windows if (found := record.one(w, "auc")) is not None]
    if not judged:
        return lead(at, "No window has been judged with its outcomes yet.")
    window, area = judged[-1]
    lower, upper = area.details.get("lower"), area.details.get("upper")
    what = "it" if at else "the AUC"
    said = f"In {window.name}, judged last, {what} is {number(area.statistic, 3)} ({between(lower, upper)})"
    usual = trained if trained is not None else area.details.get("reference")
    if usual is None or lower is None or upper is None:
        return lead(at, f"{said}.")
    how = "worse than" if upper < usual else "better than" if lower > usual else "no different, within chance, from"
    worse = sum((f.details.get("upper") or 1.0) < usual for _, f in judged)
    ever = f"It was worse in {worse:,} of {counted(len(judged), 'judged window')}."
    return lead(at, f"{said}: {how} {'that' if trained is not None else f'the {number(usual, 3)} at training'}.", ever)


def calibration(found: Sequence[GradeRow]) -> str:
    """Whether the grades held at training, by Bonferroni over them."""
    if not found:
        return ""
    off = [words(one.grade) for one in found if one.p * len(found) < ALPHA]
    return f"At training {_hold(off, len(found))}."


def graded(record: WindowRecord) -> str:
    """Whether the grades held in the window that was judged last."""
    judged = [window for window in record.windows if record.all(window, "jeffreys")]
    if not judged:
        return "No window has been judged by grade yet."
    grades = record.all(judged[-1], "jeffreys")
    off = [
        f"{words(f.subject)} ({percent(f.details['defaults'] / f.n)} defaulted at a PD of {percent(f.details['pd'])})"
        for f in grades
        if f.severity in OFF and f.n
    ]
    bad = sum(any(f.severity in OFF for f in record.all(window, "jeffreys")) for window in judged)
    ever = f" A grade was off in {bad:,} of {counted(len(judged), 'judged window')}."
    return f"In {judged[-1].name}, judged last, {_hold(off, len(grades))}.{ever}"


def _hold(off: Sequence[str], grades: int) -> str:
    if not off:
        return f"the PDs of all {counted(grades, 'grade')} hold"
    return f"the PD of {named(off)} is off" if len(off) == 1 else f"the PDs of {named(off)} are off"


def stability(record: WindowRecord) -> Said:
    """What moved in the newest window with enough decisions."""
    shown = [window for window in record.windows if record.all(window, "psi")]
    if not shown:
        return lead("No window with enough decisions was closed, so stability is not known.")
    found = record.all(shown[-1], "psi")
    score = next((f for f in found if f.subject == "score"), None)
    moved = [record.called(f.subject) for f in found if f.severity in OFF and f.subject != "score"]
    how = (
        "The score was not compared"
        if score is None
        else f"The score {'drifted' if score.severity in OFF else 'did not drift'} (PSI {number(score.statistic, 3)})"
    )
    more = f" and {len(moved) - _TOP:,} more" if len(moved) > _TOP else ""
    who = f"{', '.join(moved[:_TOP])}{more} drifted" if moved else "no feature drifted"
    return lead(f"In {shown[-1].name}, the newest window: {how[0].lower()}{how[1:]}, and {who}.")


def concentration(training: Ints, windows: Sequence[GradedWindow]) -> Said:
    """The largest grade, then and now."""
    said = f"At training the largest grade is {_largest(training)}."
    return lead(said, f"In {windows[-1].name} it is {_largest(windows[-1].codes)}." if windows else "")


def _largest(codes: Ints) -> str:
    parts = shares(codes)
    place = int(parts.argmax())
    share, index = percent(float(parts[place])), number(herfindahl(parts), 3)
    return f"{words(LEVELS[place])} with {share} of the customers (HHI {index})"


def sensitivity(found: Shifted, called: Called) -> Said:
    """The feature whose shift moves the mean PD most."""
    if not found.features:
        return lead(f"The mean PD is {percent(found.pd)}; no feature can be shifted.")
    most = max(found.features, key=lambda one: abs(one.pds[1] - one.pds[0]))
    return lead(
        f"The mean PD, {percent(found.pd)}, depends most on {called(most.name)}: between {most.what[0]} and "
        f"{most.what[1]} of everybody it goes from {percent(most.pds[0])} to {percent(most.pds[1])}."
    )


def fairness(found: Sequence[GroupRow], least: float, called: Called) -> Said:
    """Which protected group is shown to be approved too rarely, and which may be."""
    compared = [one for one in found if one.ratio is not None]
    below = [f"{called(o.feature)} = {o.group}" for o in compared if o.ratio is not None and o.ratio.upper < least]
    maybe = sum(o.ratio is not None and o.ratio.lower < least <= o.ratio.upper for o in compared)
    if not compared:
        return lead("No protected group is large enough to be compared.")
    shown = (
        f"The approval rate of {named(below)} is shown to be below {least:g} of the largest group's."
        if below
        else f"No protected group's approval rate is shown to be below {least:g} of the largest group's."
    )
    open_ = f"Of {maybe:,} of the {len(compared):,} compared it is not excluded." if maybe else ""
    return lead(shown, open_)


# --------------------------------------------------------------------------- a case


def ranking(file: Json) -> Said:
    """By how much the ranking changes."""
    area = file["measures"]["auc"]
    how = "better" if area["lower"] > 0 else "worse" if area["upper"] < 0 else "not shown to be different"
    return lead(
        f"On the same decisions the AUC goes from {number(area['champion'], 3)} to {number(area['challenger'], 3)}: "
        f"the challenger's ranking is {how}{' (the interval of the change holds 0)' if how.startswith('not') else ''}."
    )


def case_grades(file: Json, names: tuple[str, str]) -> Said:
    """Which grades of either model are off."""
    said = []
    for name, side in zip(names, ("champion", "challenger"), strict=True):
        judged = [(g["grade"], g[side]["p"]) for g in file["grades"] if g[side] is not None]
        off = [words(grade) for grade, p in judged if p * len(judged) < ALPHA]
        said.append(f"Of {name} {_hold(off, len(judged))}.")
    return lead(*said)


def swap(file: Json) -> Said:
    """How many change side, and how they turned out."""
    sides = {side["side"]: side for side in file["swap"]}
    into, out = sides["swapped_in"], sides["swapped_out"]
    rates = [side["rate"] for side in (into, out)]
    turned = (
        f" Of the former {percent(rates[0]['value'])} defaulted, of the latter {percent(rates[1]['value'])}."
        if None not in rates
        else " How all of them turned out is not known."
    )
    return lead(
        f"The challenger approves {number(into['applicants'])} applicants whom the champion declines, and declines "
        f"{number(out['applicants'])} whom it approves.{turned}"
    )


def groups(file: Json, called: Called) -> Said:
    """The protected group whose approvals fall most."""
    moved = [g for g in file["segments"] if g.get("protected")] or file["segments"]
    worst = min(moved, key=lambda group: group["approved"]["change"])
    change = worst["approved"]
    who = "protected groups" if worst.get("protected") else "segments"
    return lead(
        f"Of the {who}, {called(worst['feature'])} = {worst['group']} loses most or gains least: its "
        f"approval rate changes by {points(change['change'])} points ({points(change['lower'])} to "
        f"{points(change['upper'])})."
    )


def effects(file: Json, called: Called) -> Said:
    """What moved most."""
    most = [called(one["feature"]) for one in file["moved"]]
    return lead(f"Where the two models differ most in what a feature does: {named(most)}.")


def benchmark(found: Json, names: tuple[str, str]) -> Said:
    """Whether either model is above a plain scorecard."""
    said = [
        f"{name} is {'above' if one['lower'] > 0 else 'below' if one['upper'] < 0 else 'not shown to differ from'} it"
        for name, one in zip(names, (found["champion"], found["challenger"]), strict=True)
    ]
    return lead(f"A plain scorecard reaches an AUC of {number(found['auc'], 3)}: {' and '.join(said)}.")


def money(found: Json) -> Said:
    """What the exchange brings."""
    how = "brings more" if found["lower"] > 0 else "brings less" if found["upper"] < 0 else "is not shown to bring more"
    return lead(
        f"The challenger {how}: {number(found['change'])} per {number(found['per'])} customers "
        f"({between(found['lower'], found['upper'], 0)})."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
