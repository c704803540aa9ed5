"""`riskloop models`: the ledger of versions, and who is champion."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from riskloop.cli.options import CONFIG, ByOption, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table, when
from riskloop.core.english import counted
from riskloop.core.errors import ConfigError
from riskloop.core.numbers import number, percent, signed

if TYPE_CHECKING:
    from riskloop.results import ShadowResult

app = typer.Typer(help="The registered versions and who is champion.", no_args_is_help=True)


@app.command("list")
def models_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List every version and when it served."""
    from riskloop import views

    document = views.models(open_portfolio(config).home.ledger)
    rows = [
        ("*" if m["champion"] else "", m["version"], m["learner"], m["origin"], m["auc"], m["created_at"], _spans(m))
        for m in document
    ]
    head = ("", "version", "learner", "origin", "AUC", "created", "served")
    Console(as_json).answer(document, table(head, rows) if rows else "No model yet; run `riskloop train`.")


def _spans(model: dict[str, Any]) -> str:
    return "; ".join(f"{when(span['from'])} – {when(span['until'] or 'now')}" for span in model["served"]) or "–"


@app.command("show")
def models_show(
    version: int,
    bins: Annotated[
        bool, typer.Option("--bins", "--iv", help="Every bin: rows, defaults, weight of evidence, information value.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one version: quality, training, threshold, importance; with --bins what each bin tells."""
    found = open_portfolio(config).model(version)
    metrics = [(name, value) for name, value in found.metrics.items() if isinstance(value, float)]
    importance = sorted(found.importance.items(), key=lambda item: -item[1])[:12]
    Console(as_json).answer(
        found,
        f"Version {version}: {found.learner}, trained on {found.training['rows']:,} rows{_left_out(found.training)}, "
        f"threshold {found.threshold:.4f}",
        *_imported(found.training),
        *_level(found.training),
        *([] if found.benchmark is None else [found.benchmark["sentence"]]),
        table(("metric", "value"), metrics),
        table(("feature", "share of importance"), importance),
        *(_bins(found.bins) if bins else ()),
    )


def _bins(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["No information values: the version keeps no rows of its training with outcomes of both kinds."]
    values: dict[str, float] = {}
    for row in rows:
        values[row["feature"]] = values.get(row["feature"], 0.0) + row["iv"]
    cells = [
        (
            row["feature"],
            row["bin"],
            number(row["rows"]),
            number(row["defaults"]),
            percent(row["rate"], 2),
            signed(row["woe"]),
            number(row["iv"], 4),
        )
        for row in rows
    ]
    ranked = sorted(values.items(), key=lambda item: -item[1])
    return [
        table(("feature", "information value"), [(name, number(value, 3)) for name, value in ranked]),
        table(("feature", "bin", "rows", "defaults", "rate", "WoE", "IV"), cells),
    ]


def _left_out(training: dict[str, Any]) -> str:
    immature = training.get("immature", 0)
    return f" ({immature:,} more had no final outcome and were left out)" if immature else ""


def _imported(training: dict[str, Any]) -> list[str]:
    found = training.get("imported")
    if found is None:
        return []
    near = max(found["agreement"], 1e-9)
    return [
        f"Imported from {found['source']} ({found['kind']}, sha256 {found['sha256'][:12]}): probabilities are "
        f"{found['calibration']}, reasons by {found['reasons']}; compared with {found['compared_with']} to {near:.1g}."
    ]


def _level(training: dict[str, Any]) -> list[str]:
    level = training.get("level")
    if level is None:
        return []
    kind, margin = level.get("calibration", "point_in_time").replace("_", " "), level.get("margin", 0.0)
    wanted = level.get("wanted")
    more = "" if wanted is None else f" The outcomes asked for a mean PD of {wanted:.1%}, more than one step may move."
    return [
        f"PDs are {kind}: {level['long_run']:.1%} defaulted on the mean of {counted(level['months'], 'month')}, "
        f"{level['recent']:.1%} of the rows that the calibration was learned from. Margin of conservatism: {margin:.0%}"
        f" of the odds.{more}"
    ]


@app.command("import")
def models_import(
    source: Annotated[str, typer.Argument(metavar="PATH", help="A file, a folder, or an address of MLflow.")],
    history: Annotated[Path | None, typer.Option(help="Its labelled rows; by default portfolio.history.")] = None,
    kind: Annotated[
        Literal["lightgbm", "xgboost", "skops", "scorecard"] | None, typer.Option(help="Where its name says nothing.")
    ] = None,
    scores: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of the history: what the model gave.")] = None,
    calibration: Annotated[
        Literal["kept", "fitted"], typer.Option(help="Its own probabilities, or a line put through them.")
    ] = "kept",
    base: Annotated[float | None, typer.Option(help="Scorecard: points at the odds below.")] = None,
    odds: Annotated[float | None, typer.Option(help="Scorecard: good customers for a bad one at that score.")] = None,
    double: Annotated[float | None, typer.Option(help="Scorecard: points that double the odds.")] = None,
    closed: Annotated[
        Literal["left", "right"] | None, typer.Option(help="Scorecard: the end that belongs to a bin.")
    ] = None,
    complete_until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Up to when the history's outcomes are complete.")
    ] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Register a model that was made elsewhere, with its history.

    LightGBM's text, XGBoost's JSON, a skops file, a scorecard as .csv or .xlsx. It becomes the first champion, or waits
    as the next challenger. Every row has to score as by the file's own library.
    """
    given = [value for value in (base, odds, double) if value is not None]
    if given and len(given) < 3:
        raise ConfigError("What points mean takes three numbers: --base, --odds and --double.")
    found = open_portfolio(config).import_model(
        source,
        history,
        kind=kind,
        scores=scores,
        calibration=calibration,
        scale=(given[0], given[1], given[2]) if given else None,
        closed=closed,
        complete_until=complete_until,
    )
    Console(as_json).answer(
        found,
        f"Version {found.version} is {found.source} ({found.kind}, sha256 {found.sha256[:12]}). Every row agrees with "
        f"{found.compared_with} to {max(found.agreement, 1e-9):.1g}. Probabilities are {found.calibration}, reasons by "
        f"{found.reasons}.",
        *found.notes,
        found.sentence,
    )


@app.command("at")
def models_at(
    moment: Annotated[str, typer.Argument(metavar="TIME", help="ISO 8601; UTC unless it names a zone.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell which version served at a moment."""
    from riskloop.worker import parse_moment

    found = open_portfolio(config).champion_at(parse_moment(moment, "TIME"))
    Console(as_json).answer(found, found.sentence)


@app.command("rebuild")
def models_rebuild(version: int, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Make a version again from its record and compare every byte.

    Exit code 1 when they differ.
    """
    console = Console(as_json)
    portfolio = open_portfolio(config)
    with console.progress(f"Version {version}") as tick:
        found = portfolio.rebuild(version, progress=tick)
    console.answer(found, found.sentence)
    if not found.identical:
        raise typer.Exit(1)


@app.command("compare")
def models_compare(first: int, second: int, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Compare two versions on the same matured decisions.

    Only decisions that neither was trained on count. That is a test: it spends of the alpha budget as the gate's own
    tries do, and says so. Where there are none, the gate's report is shown, which costs nothing.
    """
    found = open_portfolio(config).compare(first, second)
    Console(as_json).answer(found, *found.sentences)


@app.command("promote")
def models_promote(
    version: int,
    reason: Annotated[str, typer.Option(help="Why; it stays in the ledger.")],
    by: ByOption = None,
    force: Annotated[bool, typer.Option("--force", help="Promote although the gate does not say so.")] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion, if the gate agrees.

    With --force you decide without the gate. The ledger says so.
    """
    found = open_portfolio(config).promote(version, by=by, reason=reason, force=force)
    Console(as_json).answer(found, f"Version {version} is champion (promotion {found.seq}).")


@app.command("rollback")
def models_rollback(
    reason: Annotated[str, typer.Option(help="Why; it stays in the ledger.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Put the previous champion back."""
    found = open_portfolio(config).rollback(by=by, reason=reason)
    Console(as_json).answer(found, f"Version {found.version} is champion again.")


@app.command("sign")
def models_sign(
    reason: Annotated[str, typer.Option(help="Why: it goes on record.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Sign the versions that no known key has signed; look at them first (`riskloop verify`)."""
    done = open_portfolio(config).record.sign_models(by=by, reason=reason)
    text = f"Signed: version {', '.join(map(str, done))}." if done else "Every version is signed already."
    Console(as_json).answer({"signed": done}, text)


@app.command("shadow")
def models_shadow(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Compare the versions of `[shadow] versions` with the champion on live traffic.

    How often they agree, whom only one of the two approves, and, once outcomes are final, how both rank. This is to
    look, not a test: it costs nothing of the alpha budget.
    """
    found = open_portfolio(config).shadows()
    rows = [(one.version, one.scored, one.behind, *_sides(one), *_ranks(one)) for one in found]
    head = ("version", "scored", "behind", "agree", "only it approves", "only it declines", "AUC", "champion", "gain")
    text = (table(head, rows), *(one.sentence for one in found))
    none = "No version is a shadow: `[shadow] versions = [2]` in riskloop.toml names one."
    Console(as_json).answer({"shadows": [one.to_dict() for one in found]}, *(text if found else (none,)))


def _sides(one: "ShadowResult") -> list[str]:
    return [_share(value) for value in (one.agreement, one.swapped_in, one.swapped_out)]


def _share(value: dict[str, Any] | None) -> str:
    return "–" if value is None else f"{percent(value['share'])} ({percent(value['low'])} to {percent(value['high'])})"


def _ranks(one: "ShadowResult") -> tuple[str, str, str]:
    if one.outcomes is None or one.outcomes["gain"] is None:
        return ("–", "–", "–")
    auc, champion, gain = (one.outcomes[name] for name in ("auc", "champion_auc", "gain"))
    return (
        f"{number(auc['estimate'], 4)} ({number(auc['low'], 3)} to {number(auc['high'], 3)})",
        f"{number(champion['estimate'], 4)} ({number(champion['low'], 3)} to {number(champion['high'], 3)})",
        f"{signed(gain['estimate'], 4)} ({signed(gain['low'], 4)} to {signed(gain['high'], 4)})",
    )
