"""Every setting of riskloop.toml, once: its name, its default, its help. `docs/settings.md` is held to it by a test."""

import ipaddress
import json
import re
import tomllib
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from riskloop.core.addresses import secret_in, without_password
from riskloop.core.errors import ConfigError
from riskloop.core.periods import Calendar
from riskloop.core.schema import DateOrder, Feature, Quoting, Schema, TextStyle
from riskloop.core.types import Problem, Spoken
from riskloop.core.units import unit_of

_KEPT: Final = "holds a password or a key"  # what is wrong so is not repeated
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(value: Any) -> Any:
    """``"30d"`` → 30 days. Units: m(inutes), h(ours), d(ays), w(eeks)."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+)\s*([mhdw])\s*", value)
    if match is None:
        raise ValueError(f"'{value}' is not a duration; write a number and m, h, d or w, such as '30d'")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def duration_text(value: timedelta) -> str:
    """The inverse of :func:`parse_duration`, with the largest unit that fits."""
    minutes = int(value.total_seconds() // 60)
    for unit, size in (("w", 10080), ("d", 1440), ("h", 60)):
        if minutes and minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A table of riskloop.toml; an unknown key in it is an error, because a typo must not become a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_timedelta="float", ser_json_inf_nan="strings")


class PortfolioSettings(Section):
    """What is modelled."""

    name: str = Field("portfolio", description="Shown on the dashboard and in alerts.")
    target: str = Field(description="Column of the history that is 1 for a default and 0 for none.")
    id: str | None = Field(None, description="Column with the customer's id; without it the row number is used.")
    time: str | None = Field(None, description="Column with the date of the decision (ISO 8601).")
    history: str | None = Field(
        None,
        description="What `riskloop train` reads when nothing is named: a file or an address (howto/sources.md).",
    )
    outcomes: str | None = Field(
        None,
        description="File with the target's column, where the history has none; matched by the id that both have.",
    )
    known_at: str = Field(
        "known_at", min_length=1, description="Column of outcomes that says when each became known; without it: now."
    )
    unit: str | None = Field(
        None, description="Column that says which rows are one customer's; an id may come several times then."
    )
    bad: tuple[str, ...] = Field(
        (),
        description="Values of the target that are a default; empty: 1, yes, true. Every other value means no default. "
        '">=90" means the numbers from 90 on, "*" whatever is filled.',
    )
    good: tuple[str, ...] = Field(
        (),
        description="With `bad`: values that mean no default; rows with any other value are left out.",
    )
    ignore: tuple[str, ...] = Field((), description="Columns that files may have and that are not read.")
    earliest: str = Field(
        "1980-01-01", pattern=r"^\d{4}-\d{2}-\d{2}$", description="A decision with an older date is refused."
    )
    outcome_window: Duration = Field(
        timedelta(days=30), description="How long after a decision its outcome counts as final."
    )

    @field_validator("history", "outcomes")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        """Settings are shown, and go on record."""
        if value is not None and secret_in(value) is not None:
            raise ValueError(f"{_KEPT}; write ?password_env=NAME or ?password_file=PATH instead")
        return value


class DataSettings(Section):
    """How the lender's files are written (`init` finds it), and what becomes of rows that cannot be read."""

    encoding: str = Field("utf-8", description="Encoding of text files, such as utf-8, utf-16 or cp1252.")
    delimiter: str = Field(
        ",", pattern=r"^[^\r\n\"\x80-\U0010ffff]$", description="Between fields; a blank stands for any run."
    )
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Characters of each column, where no delimiter but their place tells columns apart."
    )
    gaps: bool = Field(
        False, description="A blank stands between columns of fixed widths: a row without one holds too wide a value."
    )
    quoting: Quoting = Field(
        "double",
        description="Quotes around fields of text: double ones, single ones, or with backslashes before signs.",
    )
    decimal: Literal[".", ","] = Field(".", description="Decimal sign of numbers in text files.")
    skip: int = Field(0, ge=0, description="Lines above the header, such as a note.")
    header: bool = Field(True, description="Whether a line holds the column names.")
    below: int = Field(0, ge=0, description="Lines between the header and the first row, such as units.")
    columns: tuple[str, ...] = Field((), description="Column names where no header line holds them.")
    footer: int = Field(0, ge=0, description="At most this many lines of totals are left out at the end.")
    sheet: str | None = Field(None, description="Sheet of a workbook; by default the first one with a table.")
    missing: tuple[str, ...] = Field((), description="Words for a missing value, in addition to the usual ones.")
    dates: DateOrder = Field(
        "",
        description="How dates with several readings are written: dmy or mdy (03/01/2023), ymd (930101), unix, excel.",
    )
    strict: bool = Field(False, description="Refuse a file for one bad row, instead of setting the row aside.")
    max_refused: Fraction = Field(
        0.05, description="A file of which a larger share of the rows cannot be read is refused as a whole."
    )


class StorageSettings(Section):
    """Where things are kept. Relative paths start at riskloop.toml."""

    url: str = Field(
        "sqlite:///riskloop.db",
        description="The database: `sqlite:///` and a path, or `postgresql+psycopg://…` (see deploy.md).",
    )
    artefacts: str = Field("models", description="Folder of the model artefacts.")
    segments: str = Field(
        "segments",
        description="Folder of decisions that were scored in bulk, or `s3://…`, `gs://…`, `abfs://…` (see scale.md).",
    )
    reports: str = Field("reports", description="Folder of Evidently's pages.")


class FeatureSettings(Section):
    """One input column; the table's name is the column's name."""

    kind: Literal["number", "category"] = Field("number", description="How its values are read.")
    range: tuple[float, float] | None = Field(None, description="Hard limits; a value outside is refused.")
    categories: tuple[str | int, ...] = Field((), description="The levels of a category.")
    unseen: Literal["refuse", "flag"] = Field(
        "refuse", description="A level never seen is refused, or scored as missing and flagged."
    )
    nullable: bool = Field(False, description="Whether a value may be missing.")
    monotone: Literal[-1, 0, 1] = Field(0, description="1: more can only raise the PD; -1: only lower it.")
    protected: bool = Field(False, description="Kept for fairness checks, no model input.")
    special: tuple[float, ...] = Field(
        (), description="Numbers that are codes, such as -9999 for no record: outside range, order and drift's scale."
    )
    prefixes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="A category of nested codes (postcode, industry): characters that make a branch, as in [2, 3]."
    )
    written: TextStyle = Field(
        "plain",
        description="How a number is written where it is text: amount ($1,234.50), percent (13.5%), unit (36 months), "
        "tenure (1yrs 11mon, in months), date (the number is the days from it to the decision).",
    )
    written_in: tuple[str, ...] = Field(
        (),
        description='The unit, currency or % beside it where it is text, as in ["months"]: another unit is converted '
        'to the first where that is exact (3 years are 36 months), else the row is refused; "" is none. Without it any '
        "is taken.",
    )
    label: str = Field("", max_length=80, description="Its name for people, on pages and in reasons.")
    unit: str = Field("", max_length=20, description="What its numbers count, such as EUR or months.")
    description: str = Field("", max_length=500, description="What it is, and where it comes from.")
    context: bool = Field(
        False,
        description="The same for all customers of a period (interest rate, house prices): a path that is no drift and "
        "no fault. Found without being said where the history shows it.",
    )
    seasonal: bool = Field(
        False,
        description="Moves with the time of the year: where the history covers 13 months, a window is held against the "
        "same weeks of earlier years. Found without being said where two years of history show it.",
    )
    bins: tuple[float, ...] = Field(
        (), description="A number's bins in the scorecard: inner upper bounds that ascend. Empty: it finds its own."
    )
    groups: tuple[tuple[str | int, ...], ...] = Field(
        (), description="A category's levels that share their points in the scorecard; others stand alone."
    )


class ReasonsSettings(Section):
    """Why a decision was made, in words that a letter to a customer can carry."""

    texts: dict[str, tuple[str, str]] = Field(
        default_factory=dict,
        description="By feature the reason where it raises the risk, and where it lowers it; an empty one is made of "
        "the label and the value. Protected features are no reasons.",
    )


class PrepareSettings(Section):
    """A column that is made of others before a learner sees them; the table's name is the column's."""

    how: Literal["ratio", "difference", "sum", "product", "log", "bands", "missing", "group", "prefix", "age"] = Field(
        description="`ratio` x/y, `difference` x-y, `sum`, `product`, `log` sign(x)·ln(1+|x|), `bands` of a number, "
        "`missing` 1 where a value is missing, `group` of levels, `prefix` of a code, `age` from a date to the "
        "decision, or from one date to another."
    )
    of: tuple[str, ...] = Field(min_length=1, description="The columns that it is made of: features, or steps before.")
    bounds: tuple[float, ...] = Field((), description="`bands`: their upper bounds.")
    groups: dict[str, tuple[str | int, ...]] = Field(
        default_factory=dict, description="`group`: levels by the group's name; the others stay by themselves."
    )
    length: int = Field(2, ge=1, description="`prefix`: characters.")
    unit: Literal["years", "months", "days"] = Field("years", description="`age`: of 365.2425 days, a twelfth, a day.")
    monotone: Literal[-1, 0, 1] = Field(0, description="1: more can only raise the PD; -1: only lower it.")
    instead: bool = Field(False, description="Whether the columns that it is made of are no model inputs themselves.")

    @model_validator(mode="after")
    def _complete(self) -> "PrepareSettings":
        wanted = {"ratio": 2, "difference": 2, "log": 1, "bands": 1, "group": 1, "prefix": 1}.get(self.how)
        if wanted is not None and len(self.of) != wanted:
            raise ValueError(f"a {self.how} is made of {wanted} columns, and 'of' names {len(self.of)}")
        if self.how == "age" and len(self.of) > 2:
            raise ValueError("an age is made of one date or of two")
        if self.how == "bands" and not self.bounds:
            raise ValueError("bands need their 'bounds'")
        if self.how == "group" and not self.groups:
            raise ValueError("a group needs 'groups'")
        return self


class ThresholdSettings(Section):
    """From which probability a decision is `default`."""

    policy: Literal["cost", "approval_rate", "fixed"] = Field("cost", description="How the threshold is chosen.")
    cost_ratio: float = Field(
        4.0, gt=0, description="`cost`: a missed default costs this many times a declined good customer."
    )
    approval_rate: Fraction = Field(0.8, description="`approval_rate`: share of the history below the threshold.")
    value: Fraction = Field(0.5, description="`fixed`: the threshold itself.")


class RiskLevelSettings(Section):
    """Names for ranges of the probability; anything above the last bound is `very_high`."""

    low: Fraction = Field(0.10, description="Upper bound of `low`.")
    medium: Fraction = Field(0.25, description="Upper bound of `medium`.")
    high: Fraction = Field(0.50, description="Upper bound of `high`.")

    @model_validator(mode="after")
    def _ascending(self) -> "RiskLevelSettings":
        if not self.low < self.medium < self.high:
            raise ValueError("risk levels must ascend: low < medium < high")
        return self


BUILT_IN: Final = ("scorecard", "lightgbm", "hist_gradient_boosting", "xgboost", "catboost")  # the last two: extras


class LearnerSettings(Section):
    """A scikit-learn-compatible classifier beside the built-in learners; the table's name is the learner's."""

    estimator: str = Field(description="Import path, such as sklearn.ensemble.ExtraTreesClassifier.")
    params: dict[str, Any] = Field(default_factory=dict, description="Arguments of its constructor.")


class TrainSettings(Section):
    """How a model is made."""

    learners: tuple[str, ...] = Field(
        ("scorecard", "lightgbm", "hist_gradient_boosting"),
        description="Learners that compete: scorecard, lightgbm, hist_gradient_boosting, xgboost and catboost (both "
        "extras), and names of [learners.NAME] tables.",
    )
    folds: int = Field(5, ge=2, le=20, description="Folds of the cross-validation.")
    seed: int = Field(20240501, ge=0, description="The same history, config and seed train the same bytes.")
    floor_auc: Fraction = Field(0.6, description="A first model below this AUC does not become champion.")
    search: int = Field(
        8, ge=0, le=100, description="Sizes of boosted trees that are tried inside the training rows; 0: none."
    )
    calibration: Literal["point_in_time", "through_the_cycle"] = Field(
        "point_in_time",
        description="What the PDs are levelled to: the rows that they are validated on, or the mean of the default "
        "rates of all months.",
    )
    margin: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Margin of conservatism: the share that the odds of every PD are raised by. It is on record and is "
        "left out where PDs are compared with outcomes.",
    )
    benchmark: bool = Field(
        True,
        description="Score a plain scorecard beside every other model, to say what its complexity buys. Where none "
        "competes this costs one more scorecard for each fold.",
    )
    points: bool = Field(
        False,
        description="A scorecard's points are whole numbers and scored as printed: 600 at odds of 30 good to 1 bad, 20 "
        "more double them.",
    )
    max_rows: int = Field(
        0,
        ge=0,
        description="Most rows of a history that are learned from: of a larger one a sample of its customers, drawn by "
        "their ids and the seed. 0: all rows, as far as the memory goes.",
    )
    threads: int = Field(0, ge=0, description="Threads of one fit; 0 means all cores.")


class ServeSettings(Section):
    """The API."""

    host: str = Field("127.0.0.1", description="Address to bind to.")
    port: int = Field(8000, ge=0, le=65535, description="Port to bind to; 0 picks a free one.")
    max_body: int = Field(64 * 2**20, gt=0, description="Largest accepted request body in bytes.")
    max_waiting: int = Field(2048, gt=0, description="Requests that may wait before others get 503.")
    max_connections: int = Field(4096, gt=0, description="Connections of one worker; further ones get 503.")
    max_reasons: int = Field(4, ge=0, description="Contributions named with each decision of default.")


def _networks(values: Any) -> Any:
    for value in values if isinstance(values, (list, tuple)) else ():
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError(f"'{value}' is no address such as 127.0.0.1 and no network such as 10.0.0.0/8") from None
    return values


Networks = Annotated[tuple[str, ...], BeforeValidator(_networks)]
RoleName = Literal["score", "outcomes", "view", "operate"]


class AccessSettings(Section):
    """Who gets in: sessions of the dashboard, and proxies in front of the server."""

    idle: Duration = Field(
        timedelta(minutes=30),
        ge=timedelta(minutes=1),
        description="A session ends when nobody has used it for this long.",
    )
    longest: Duration = Field(
        timedelta(hours=12), ge=timedelta(minutes=1), description="Every session is over after so long."
    )
    proxies: Networks = Field(
        (), description="Addresses or networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."
    )
    secure_cookies: bool = Field(
        False, description="Mark cookies as for TLS only, where no trusted proxy says that there is TLS in front."
    )
    user_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header in which a proxy that has logged somebody in gives the name, such as X-Forwarded-Email.",
    )
    groups_header: str | None = Field(
        None, pattern=r"^[A-Za-z0-9-]+$", description="Header with that person's groups, separated by commas."
    )
    header_from: Networks = Field(
        (), description="Addresses or networks that may send `user_header`; it is refused from all others."
    )
    groups: dict[str, tuple[RoleName, ...]] = Field(
        default_factory=dict,
        description="Roles by group of `groups_header`; `*` is every person whom the proxy names.",
    )

    @model_validator(mode="after")
    def _complete(self) -> "AccessSettings":
        if self.user_header is not None and not self.header_from:
            raise ValueError("user_header needs header_from: else anybody could send it")
        if self.idle > self.longest:
            raise ValueError("idle is more than longest")
        return self


def _issuer(value: Any) -> Any:
    """An address of HTTPS, or of this machine."""
    if isinstance(value, str) and not re.fullmatch(
        r"https://[^/?#]+[^?#]*|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?[^?#]*", value
    ):
        raise ValueError(f"'{value}' is no https:// address")
    return value


class SsoSettings(Section):
    """Single sign-on by OpenID Connect. A client's secret is in the environment as RISKLOOP_SSO_SECRET."""

    issuer: Annotated[str | None, BeforeValidator(_issuer)] = Field(
        None, description="The provider, as its discovery document calls itself; without it there is no single sign-on."
    )
    client_id: str = Field("", description="Under which name riskloop is registered there.")
    url: Annotated[str | None, BeforeValidator(_issuer)] = Field(
        None, description="How browsers reach this server; registered there is this and /login/sso/callback."
    )
    scopes: tuple[str, ...] = Field(("openid", "profile", "email", "groups"), description="What is asked for.")
    name_claim: str = Field("email", description="Claim that names the person on record.")
    groups_claim: str = Field("groups", description="Claim with the person's groups.")
    audience: str | None = Field(
        None, description="Audience of access tokens that the API takes as bearers; without it, it takes none."
    )
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "ES384", "Ed25519", "EdDSA"], ...] = Field(
        ("RS256", "ES256"), min_length=1, description="Signatures that are accepted; those with public keys only."
    )

    @model_validator(mode="after")
    def _complete(self) -> "SsoSettings":
        if self.issuer is not None and not (self.client_id and self.url):
            raise ValueError("issuer needs client_id and url")
        if self.audience is not None and self.audience == self.client_id:
            raise ValueError("audience must not be client_id: else a proof of a login would open the API")
        if self.url is not None and self.url.endswith("/"):
            raise ValueError("url must not end with a slash")
        return self


class ExplorationSettings(Section):
    """A few customers who would be declined are approved at random, because their outcomes teach what no other can."""

    rate: float = Field(
        0.0, ge=0, le=0.5, description="Share of the declined who are approved at random, and marked; 0: nobody."
    )


class WindowSettings(Section):
    """Which decisions are monitored together."""

    by: Calendar | Literal["count"] = Field(
        "month",
        description="Calendar periods, or a count. Rows that come once a quarter are monitored by `quarter`: by "
        "`month`, most windows would be of no row.",
    )
    size: int = Field(2000, gt=0, description="`count`: decisions in a window.")
    numbered: bool = Field(
        False, description="`month`: call months by their number, 1 for 2000-01, as files with plain numbers do."
    )
    min_rows: int = Field(100, gt=0, description="A window with fewer rows is `not_enough_data`.")
    due: Literal["always", "any"] | Calendar = Field(
        "always",
        description="When decisions come: `always` (a period in which nothing is scored is a fault); as a file that is "
        "due after each `day`, `week`, `month`, `quarter`, `half-year` or `year`; or at `any` time: then no silence is "
        "a fault.",
    )
    grace: Duration = Field(timedelta(days=3), description="A file of decisions that is due may come this much later.")


class OutcomeSettings(Section):
    """The contract of the outcome feed: who is reported, when, and from when on it counts as complete."""

    reported: Literal["all", "defaults"] = Field(
        "all",
        description="Who is reported: everybody who got a loan, or defaults only; then silence up to the watermark "
        "means good.",
    )
    silent_declined: bool = Field(
        False,
        description="`defaults`: silence means good for declined customers, too; they got the loan anyway.",
    )
    due: Literal["any"] | Calendar = Field(
        "any", description="A file is due after each of these periods; `any`: there is no date, and none is late."
    )
    grace: Duration = Field(timedelta(days=10), description="A file that is due may come this much later.")
    patience: Duration = Field(
        timedelta(days=45),
        description="Without a watermark: how long outcomes are waited for once they are final; then what came counts.",
    )
    share: Fraction = Field(
        1.0,
        gt=0,
        description="A window is judged from this share of its expected outcomes on; what is said holds however those "
        "that lack turn out. 1: only when the feed is complete.",
    )
    definition: str = Field(
        "1", min_length=1, max_length=60, description="Version of the definition of default, as it is now."
    )


class DriftSettings(Section):
    """When a change counts."""

    alpha: Fraction = Field(0.01, description="False discovery rate across the features of a window.")
    psi: float = Field(0.10, gt=0, description="Band above which a PSI matters, if it is above chance too.")
    psi_severe: float = Field(0.25, gt=0, description="Band above which drift is confirmed at once.")
    share: Fraction = Field(0.2, description="Share of the champion's importance that drifted features must carry.")
    confirm: int = Field(2, ge=1, description="Windows that must agree …")
    among: int = Field(3, ge=1, description="… among this many latest ones.")
    reference_rows: int = Field(20_000, gt=0, description="Rows of the history that Evidently compares with.")
    evidently_rows: int = Field(
        200_000, ge=0, description="Larger windows are compared by their profiles: the same numbers, no page."
    )
    auc_band: Fraction = Field(0.02, description="A lower AUC than at training that matters, beyond chance.")
    level_band: float = Field(
        0.10, gt=0, le=10, description="Share of more or fewer defaults than expected that matters, beyond chance."
    )
    slope_band: float = Field(
        0.2, gt=0, le=10, description="How far beyond the champion's own a calibration slope matters, beyond chance."
    )
    asset_correlation: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="How much the defaults of one month move together (Vasicek's one factor); without it, it is "
        "estimated from the history's months.",
    )
    run_length: float = Field(
        50.0,
        gt=1,
        description="Evidence added up over windows at which slow harm is called: at least so many windows pass on "
        "average until a false alarm (some 120 were measured).",
    )
    asset_correlation_floor: float = Field(
        0.005, ge=0, le=0.5, description="The least that is allowed for: a calm year of history has seen no recession."
    )
    segments: tuple[str, ...] = Field(
        (),
        description="Columns whose segments are judged one by one when outcomes are final; empty: the protected and "
        "the categorical ones.",
    )

    @model_validator(mode="after")
    def _possible(self) -> "DriftSettings":
        if self.confirm > self.among:
            raise ValueError(f"confirm ({self.confirm}) is more than among ({self.among})")
        return self


class PolicySettings(Section):
    """What a diagnosis leads to."""

    name: Literal["on_drift", "on_harm", "scheduled", "manual"] = Field("on_drift", description="When to retrain.")
    every: int = Field(3, ge=1, description="`scheduled`: retrain after this many windows.")
    harm_auc: Fraction = Field(0.02, description="`on_harm`: retrain when the AUC fell by this much.")
    again: int = Field(
        6, ge=0, description="Windows for which a change whose challenger was rejected opens no further case."
    )
    renew: float = Field(
        2.0,
        ge=1,
        description="Retrain again when a new world's outcomes have grown by this factor, and try a case again at "
        "the latest that is not urgent: a changed mix of customers, or a renewal; 1: never renew.",
    )


class RetrainSettings(Section):
    """Which rows a challenger learns from."""

    window: Literal["expanding", "sliding", "decayed"] = Field(
        "expanding", description="All matured rows, only the latest, or all with weights that fade with age."
    )
    length: Duration = Field(timedelta(days=730), description="`sliding`: rows older than this are left out.")
    half_life: Duration = Field(timedelta(days=365), description="`decayed`: a row this old weighs half.")
    weighting: Literal["validated", "uniform", "credibility", "density_ratio"] = Field(
        "validated",
        description="Weights of the rows; `validated`: by credibility after concept drift, density ratios after "
        "covariate shift where they are shown to be better, else equal.",
    )
    credibility: float = Field(
        200.0,
        ge=0,
        allow_inf_nan=False,
        description="Defaults since the drift that weigh as much as all rows before it; 0: only new rows.",
    )
    max_weight: float = Field(
        20.0, gt=1, description="Density ratios are capped at this value, so that no single row decides."
    )
    max_step: float = Field(
        0.5,
        gt=0,
        le=10,
        description="Share that one recalibration may raise the mean PD by; down it may go as many times. What is "
        "wanted beyond it is on record, and is done in a further step.",
    )
    seconds: float = Field(60.0, gt=0, description="Time budget of one retraining; costlier learners stay out.")
    max_rows: int = Field(
        2_000_000,
        ge=1000,
        description="Most decisions that are read for a retraining, its gate, a probation or a judgement by outcomes. "
        "Of more a random share is drawn by their numbers, and that share is on record.",
    )


class GateSettings(Section):
    """What a challenger must show."""

    alpha: Fraction = Field(0.05, gt=0, lt=1, description="Level of the one-sided paired DeLong test.")
    run_alpha: Fraction = Field(
        0.10, gt=0, lt=1, description="Budget of all tries against one champion: no-better ones pass this rarely."
    )
    budget_period: Duration = Field(timedelta(days=365), description="Tries older than this leave the budget.")
    least_gain: float = Field(0.001, ge=0, description="AUC by which the challenger must be better at least.")
    power: Fraction = Field(0.8, gt=0, lt=1, description="Power that the test should have …")
    detect: float = Field(0.01, gt=0, description="… for a true gain in AUC of this size.")
    min_defaults: int = Field(50, ge=10, description="Fewer defaults than this are no evidence at all.")
    retry_growth: float = Field(
        1.2, gt=1, description="A waiting case is tried again when its matured decisions have grown by this factor."
    )
    evaluation: Literal["holdout", "out_of_fold"] = Field(
        "out_of_fold", description="Test on the latest decisions, or on all by time blocks with a final refit."
    )
    holdout: Fraction = Field(
        0.3, gt=0, lt=1, description="`holdout`: share of the latest matured decisions kept for the test."
    )
    blocks: int = Field(4, ge=2, le=20, description="`out_of_fold`: time blocks, each scored by a fit without it.")
    max_log_loss_increase: float = Field(
        0.01, ge=0, description="Log loss must be shown to be worse by no more than this share of the champion's."
    )
    min_approval_ratio: Fraction = Field(
        0.8, description="Least ratio of a protected group's approval rate to the largest group's."
    )
    least_money_gain: float | None = Field(
        None,
        ge=0,
        description="Money that a challenger's decisions must be shown to bring beyond the champion's, for each "
        "applicant with an outcome; needs `money.default_cost` and `money.good_gain`. Without it nothing is asked.",
    )
    max_latency_ms: float = Field(50.0, gt=0, description="One customer must be scored within this time.")
    approval: Literal["always", "outside_plan"] = Field(
        "outside_plan",
        description="Which challengers wait for a person once the gate finds them better: `always` every one, "
        "`outside_plan` those outside the envelope below.",
    )
    max_approval_shift: Fraction = Field(
        0.15, description="Envelope: the approval rate may move by this much without a person."
    )
    max_score_psi: float = Field(
        1.0, gt=0, description="Envelope: PSI between the champion's and the challenger's scores."
    )
    max_auc_gain: Fraction = Field(
        0.25, description="Envelope: a larger gain is more likely a leak than an improvement."
    )
    max_level_step: Fraction = Field(
        0.4,
        gt=0,
        lt=1,
        description="Envelope: outcomes that do not exclude a level of default lower by this share, or higher by as "
        "much, may follow another definition.",
    )
    four_eyes: bool = Field(
        False,
        description="Who trained a version, asked the gate about it or moved its case cannot approve or force it.",
    )
    max_promotions_per_month: int = Field(4, ge=1, description="Envelope: more than this needs a person.")
    learners: tuple[str, ...] = Field(
        (), description="Envelope: learners that may be promoted unasked; empty means those of [train]."
    )

    @model_validator(mode="after")
    def _testable(self) -> "GateSettings":
        if self.detect <= self.least_gain:
            raise ValueError(f"detect ({self.detect:g}) must be more than least_gain ({self.least_gain:g})")
        if self.run_alpha < self.alpha:
            raise ValueError(f"run_alpha ({self.run_alpha:g}) must be at least alpha ({self.alpha:g})")
        return self


class ProbationSettings(Section):
    """How a new champion is watched."""

    alpha: Fraction = Field(
        0.05, gt=0, lt=1, description="Chance, over the whole probation, of rolling back a model that is no worse."
    )
    detect: float = Field(0.02, gt=0, description="Loss in AUC that the probation must be able to see.")
    power: Fraction = Field(0.8, gt=0, lt=1, description="Power for that loss; reached, the probation ends.")
    min_defaults: int = Field(30, ge=10, description="Fewer matured defaults than this show nothing.")


class MoneySettings(Section):
    """What decisions cost and earn; with both, a back-test counts in money."""

    default_cost: float | None = Field(None, ge=0, description="Loss from an approved customer who defaults.")
    good_gain: float | None = Field(None, ge=0, description="Gain from an approved customer who repays.")


class ChannelSettings(Section):
    """One channel that alerts are sent to, a table [alerts.channels.NAME]."""

    kind: Literal["slack", "teams", "pagerduty", "mail", "webhook"] = Field(description="What takes the message.")
    url: str | None = Field(None, pattern=r"^https?://", description="Its address, where that is no secret.")
    url_env: str | None = Field(
        None,
        description="Environment variable with the address (Slack's and Teams' are secrets).",
    )
    secret_env: str | None = Field(
        None,
        description="Environment variable with the secret: the webhook's key, PagerDuty's "
        "routing key, the mail server's password.",
    )
    least: Literal["info", "warning", "critical"] = Field("warning", description="The least urgency that it is told.")
    server: str | None = Field(None, description="mail: the server's name.")
    port: int | None = Field(
        None, ge=1, le=65535, description="mail: its port; by default 587, 465 or 25 by encryption."
    )
    encryption: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="mail: how the connection is kept secret."
    )
    user: str | None = Field(None, description="mail: the user name; without one there is no login.")
    sender: str | None = Field(None, description="mail: who it is from.")
    to: list[str] = Field(default_factory=list, description="mail: who gets it.")

    @model_validator(mode="after")
    def _is_whole(self) -> "ChannelSettings":
        if self.kind == "mail":
            needed = {"server": self.server, "sender": self.sender, "to": self.to}
            missing = [name for name, value in needed.items() if not value]
        elif self.kind == "pagerduty":
            missing = [] if self.secret_env else ["secret_env (the integration's routing key)"]
        else:
            missing = [] if self.url or self.url_env else ["url or url_env"]
            missing += ["secret_env"] if self.kind == "webhook" and not self.secret_env else []
        if missing:
            raise ValueError(f"a channel of kind {self.kind} needs {', '.join(missing)}")
        if self.user is not None and self.encryption == "none":
            raise ValueError("a password is not sent without encryption; set encryption, or leave user out")
        return self


# Services that do not take riskloop's own body, by a part of their address.
OTHER_BODIES: Final = {
    "hooks.slack.com": "slack",
    "webhook.office.com": "teams",
    "logic.azure.com": "teams",
    "pagerduty.com": "pagerduty",
}


class AlertSettings(Section):
    """Who is told of what needs attention, once. The log is told in any case."""

    channels: dict[str, ChannelSettings] = Field(default_factory=dict, description="Where alerts go, by name.")
    link: str | None = Field(
        None, pattern=r"^https?://", description="Address at which people open the dashboard; alerts link to its pages."
    )
    heartbeat_env: str | None = Field(
        None,
        description="Environment variable with the address of a dead-man's switch elsewhere, which gets a POST after "
        "each cycle: it tells of a machine that is gone.",
    )
    webhook: str | None = Field(
        None, pattern=r"^https?://", description="URL that gets a signed POST, as a channel of this name."
    )
    secret_env: str = Field(
        "RISKLOOP_ALERT_SECRET", description="Environment variable with the secret that signs the POST to `webhook`."
    )
    again: Duration | None = Field(
        None,
        ge=timedelta(minutes=1),
        description="A case that nobody has acknowledged is reported again after each such time; not set: once.",
    )
    timeout: float = Field(5.0, gt=0, description="Seconds that one try may take, from the connection to the answer.")
    tries: int = Field(3, ge=1, description="Tries in a row; the next cycle tries again.")

    @field_validator("webhook")
    @classmethod
    def _takes_our_body(cls, url: str | None) -> str | None:
        for part, kind in OTHER_BODIES.items():
            if url is not None and part in url:
                raise ValueError(
                    f'this service takes another body; use a table [alerts.channels.NAME] with kind = "{kind}"'
                )
        return url

    @field_validator("channels")
    @classmethod
    def _names_are_free(cls, channels: dict[str, ChannelSettings]) -> dict[str, ChannelSettings]:
        for name in ("log", "webhook", "lineage"):
            if name in channels:
                raise ValueError(f"a channel cannot be called {name}; choose another name")
        return channels


class TrustSettings(Section):
    """The key that signs what is on record, and where signed checkpoints go; see trust.md."""

    key: str = Field(
        "riskloop.key",
        description="File of the Ed25519 key, made 0600 when it is first needed; `env:NAME` for a variable that holds "
        "it (PEM); `command:PROGRAM …` for a KMS: it gets bytes and answers with their signature. Empty: no key.",
    )
    public_key: str = Field("", description="File of the public key (PEM), for a `command:`.")
    former: tuple[str, ...] = Field((), description="Files of public keys that signed before this one.")
    checkpoints: str = Field(
        "checkpoints", description="Folder or object store (`s3://…`, `gs://…`) of the signed checkpoints; empty: none."
    )
    webhook: str | None = Field(None, pattern=r"^https?://", description="URL that gets a POST of every checkpoint.")
    every: Duration = Field(
        timedelta(hours=1), ge=timedelta(minutes=1), description="Longest time between two checkpoints."
    )
    timeout: float = Field(10.0, gt=0, description="Seconds that a signing command or the webhook may take.")


class RetentionSettings(Section):
    """How long what is on record stays; without a period it is kept. See trust.md."""

    decisions: Duration | None = Field(
        None, ge=timedelta(days=1), description="Decisions that are older leave the log for the archive."
    )
    features: Duration | None = Field(
        None,
        ge=timedelta(days=1),
        description="Of decisions that are older it goes what they were made on and about whom; the decisions stay.",
    )
    audit: Duration | None = Field(
        None, ge=timedelta(days=1), description="Events of the audit trail that are older leave it for the archive."
    )
    archive: str = Field(
        "archive",
        description="Folder of what was taken out, or `s3://…`, `gs://…`, `abfs://…`; empty: it is deleted and kept "
        "nowhere.",
    )


class MlflowSettings(Section):
    """A copy of the registered versions in MLflow. The ledger stays the truth."""

    mirror: str | None = Field(
        None,
        description="Address of a tracking server (or sqlite:///FILE) that gets every version, and the alias "
        "`champion` at each promotion, after the next cycle. Needs the extra mlflow.",
    )
    name: str | None = Field(None, description="Of the registered model there; by default the portfolio's.")
    timeout: float = Field(20.0, gt=0, description="Seconds that one request may take.")


class LineageSettings(Section):
    """Events of OpenLineage: how versions, windows and champions came about. See howto/lineage.md."""

    to: str | None = Field(
        None,
        description="Address of a server, or a file that gets a line for each event, after the next cycle. A key comes "
        "from the environment variable OPENLINEAGE_API_KEY.",
    )
    namespace: str | None = Field(None, description="Of jobs and data sets; by default the portfolio's name.")
    timeout: float = Field(5.0, gt=0, description="Seconds that one request may take.")

    @field_validator("to")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and re.match(r"[\w+.-]+://[^/?#\s]*@", value):
            raise ValueError(f"{_KEPT}; set OPENLINEAGE_API_KEY in the environment instead")
        if value is not None and "://" in value and not value.startswith(("http://", "https://")):
            raise ValueError("must be an address with http:// or https://, or a file")
        return value


class ShadowSettings(Section):
    """Versions that score live traffic beside the champion, and decide nothing. See howto/shadow.md."""

    versions: tuple[int, ...] = Field(
        (), description="Registered versions that score every decision once it is logged."
    )
    rows: int = Field(
        100_000,
        ge=100,
        description="Most decisions that a cycle scores with each version; the rest waits for the next.",
    )


class DocumentSettings(Section):
    """Reports of models, cases and periods; see documents.md."""

    folder: str = Field("documents", description="Folder with the texts that people write for them.")


class WatchSettings(Section):
    """The loop's worker."""

    late: Duration = Field(
        timedelta(hours=1),
        ge=timedelta(minutes=1),
        description="Without a finished cycle for so long, `status`, /readyz and the dashboard say that the loop "
        "stands still. Where cycles come from cron: somewhat more than its pause.",
    )


class Settings(Section):
    """The whole of riskloop.toml."""

    portfolio: PortfolioSettings
    data: DataSettings = DataSettings()
    storage: StorageSettings = StorageSettings()
    features: dict[str, FeatureSettings] = Field(min_length=1, description="The input columns, in order.")
    reasons: ReasonsSettings = ReasonsSettings()
    prepare: dict[str, PrepareSettings] = Field(default_factory=dict, description="Columns made of others, in order.")
    threshold: ThresholdSettings = ThresholdSettings()
    risk_levels: RiskLevelSettings = RiskLevelSettings()
    learners: dict[str, LearnerSettings] = Field(default_factory=dict, description="Further learners.")
    train: TrainSettings = TrainSettings()
    serve: ServeSettings = ServeSettings()
    access: AccessSettings = AccessSettings()
    sso: SsoSettings = SsoSettings()
    exploration: ExplorationSettings = ExplorationSettings()
    windows: WindowSettings = WindowSettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    drift: DriftSettings = DriftSettings()
    policy: PolicySettings = PolicySettings()
    retrain: RetrainSettings = RetrainSettings()
    gate: GateSettings = GateSettings()
    probation: ProbationSettings = ProbationSettings()
    money: MoneySettings = MoneySettings()
    alerts: AlertSettings = AlertSettings()
    watch: WatchSettings = WatchSettings()
    trust: TrustSettings = TrustSettings()
    retention: RetentionSettings = RetentionSettings()
    documents: DocumentSettings = DocumentSettings()
    mlflow: MlflowSettings = MlflowSettings()
    lineage: LineageSettings = LineageSettings()
    shadow: ShadowSettings = ShadowSettings()

    @model_validator(mode="after")
    def _archive_is_apart(self) -> "Settings":
        if self.retention.archive.rstrip("/") == self.storage.segments.rstrip("/"):
            raise ValueError("retention.archive and storage.segments name one place; the archive needs its own")
        return self

    @model_validator(mode="after")
    def _money_is_known(self) -> "Settings":
        asked = self.gate.least_money_gain is not None
        if asked and (self.money.default_cost is None or self.money.good_gain is None):
            raise ValueError("gate.least_money_gain needs money.default_cost and money.good_gain")
        return self

    @model_validator(mode="after")
    def _segments_are_features(self) -> "Settings":
        unknown = [name for name in self.drift.segments if name not in self.features]
        if unknown:
            raise ValueError(f"drift.segments names {', '.join(unknown)}, which has no [features] table")
        return self

    @model_validator(mode="after")
    def _reasons_are_of_model_inputs(self) -> "Settings":
        for name in self.reasons.texts:
            if name not in self.features:
                raise ValueError(f"reasons.texts names {name}, which has no [features] table")
            if self.features[name].protected:
                raise ValueError(f"reasons.texts names {name}, which is protected: it is no reason of a decision")
        return self

    def called(self, name: str, *, unit: bool = False) -> str:
        """How people call a column: by its label, or its name where it has none; with ``unit`` its unit in brackets."""
        known = self.features.get(name)
        if known is None:
            return name
        return f"{known.label or name} ({known.unit})" if unit and known.unit else known.label or name

    @property
    def spoken(self) -> dict[str, Spoken]:
        """How people speak of the features, as far as that is said."""
        none = ("", "")
        said = {
            name: Spoken(entry.label, entry.unit, *self.reasons.texts.get(name, none))
            for name, entry in self.features.items()
        }
        return {name: words for name, words in said.items() if words != Spoken()}

    @model_validator(mode="after")
    def _dates_have_a_decision(self) -> "Settings":
        dated = [name for name, entry in self.features.items() if entry.written == "date"]
        if dated and self.portfolio.time is None:
            raise ValueError(f"features.{dated[0]} counts days to the decision, whose date portfolio.time has to name")
        for name, entry in self.prepare.items():
            other = [column for column in entry.of if entry.how == "age" and column not in dated]
            if other:
                raise ValueError(f'prepare.{name} is an age of {other[0]}, which is no feature with written = "date"')
        return self

    @model_validator(mode="after")
    def _prepared_columns_are_new(self) -> "Settings":
        known = {*self.features}
        for name, entry in self.prepare.items():
            unknown = [column for column in entry.of if column not in known]
            if unknown:
                raise ValueError(f"prepare.{name} reads {unknown[0]}, which is no feature and no step before it")
            if name in known:
                raise ValueError(f"prepare.{name} has the name of another column")
            known.add(name)
        return self

    @property
    def _ignored(self) -> tuple[str, ...]:
        """Beside an id the unit is read in histories only."""
        portfolio = self.portfolio
        both = portfolio.unit is not None and portfolio.id not in (None, portfolio.unit)
        return (*portfolio.ignore, str(portfolio.unit)) if both else portfolio.ignore

    @property
    def row_schema(self) -> Schema:
        """The features and special columns as the stages use them."""
        return Schema(
            features=tuple(_feature(name, entry) for name, entry in self.features.items()),
            target=self.portfolio.target,
            id=self.portfolio.id or self.portfolio.unit,
            time=self.portfolio.time,
            ignored=self._ignored,
            unit=self.portfolio.unit,
            bad=self.portfolio.bad,
            good=self.portfolio.good,
            missing=self.data.missing,
            dates=self.data.dates,
            decimal=self.data.decimal,
            earliest=self.portfolio.earliest,
            known_at=self.portfolio.known_at,
        )


def _feature(name: str, entry: FeatureSettings) -> Feature:
    low, high = entry.range or (None, None)
    return Feature(
        name=name,
        kind=entry.kind,
        low=low,
        high=high,
        categories=tuple(str(level) for level in entry.categories),
        unseen=entry.unseen,
        nullable=entry.nullable,
        monotone=entry.monotone,
        protected=entry.protected,
        special=entry.special,
        prefixes=tuple(sorted(entry.prefixes)),
        written=entry.written,
        written_in=tuple(unit and (unit_of(f"1 {unit}", entry.written) or unit) for unit in entry.written_in),
        context=entry.context,
        seasonal=entry.seasonal,
        bins=entry.bins,
        groups=tuple(tuple(str(level) for level in group) for group in entry.groups),
    )


def coded_as(settings: Settings, schema: Schema) -> Settings:
    """``settings`` with the features in the order of the ``schema``, which rows that it coded are in.

    Raises ConfigError where riskloop.toml describes features by which those rows cannot be read.
    """
    if apart := settings.row_schema.apart(schema):
        raise ConfigError(
            f"The features of riskloop.toml are others than those of the champion: {'; '.join(apart)}. Its history and "
            "the log are coded by the champion's, so no challenger can learn from them: run `riskloop train` on a "
            "history that has these features, or write the features as they were."
        )
    return settings.model_copy(update={"features": {name: settings.features[name] for name in schema.names}})


def restored(settings: Settings, schema: Schema, recorded: dict[str, Any]) -> Settings:
    """``settings`` with the ``schema`` of an older model and the sections that its manifest ``recorded``."""
    changes: dict[str, Any] = {
        "portfolio": settings.portfolio.model_copy(
            update={
                "target": schema.target,
                "id": schema.id,
                "time": schema.time,
                "ignore": tuple(name for name in schema.ignored if name != schema.unit),
                "unit": schema.unit,
                "bad": schema.bad,
                "good": schema.good,
                "earliest": schema.earliest,
                "known_at": schema.known_at,
            }
        ),
        "data": settings.data.model_copy(
            update={"missing": schema.missing, "dates": schema.dates, "decimal": schema.decimal}
        ),
        "features": {feature.name: _entry(feature) for feature in schema.features},
    }
    for name, values in recorded.items():
        if name in ("learners", "prepare"):
            table = LearnerSettings if name == "learners" else PrepareSettings
            changes[name] = {key: table(**entry) for key, entry in values.items()}
            continue
        if name == "train":  # a manifest that does not name it was made without
            values = {"benchmark": False, **values}
        section = changes.get(name, getattr(settings, name))
        changes[name] = type(section)(**{**section.model_dump(), **values})
    return settings.model_copy(update=changes)


def _entry(feature: Feature) -> FeatureSettings:
    """The inverse of `_feature`."""
    return FeatureSettings(
        kind=feature.kind,
        range=feature.range,
        categories=feature.categories,
        unseen=feature.unseen,
        nullable=feature.nullable,
        monotone=feature.monotone,
        protected=feature.protected,
        special=feature.special,
        prefixes=feature.prefixes,
        written=feature.written,
        written_in=feature.written_in,
        context=feature.context,
        seasonal=feature.seasonal,
        bins=feature.bins,
        groups=feature.groups,
    )


def parse_settings(text: str, where: str = "riskloop.toml") -> Settings:
    """Settings from the text of a riskloop.toml.

    Raises ConfigError naming every wrong key, what is wrong with it and its value.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from None
    try:
        settings = Settings(**data)
    except ValidationError as error:
        problems = [_problem(without_password(dict(item))) for item in error.errors()]
        listed = "; ".join(f"{p.field}: {p.problem}" for p in problems)
        raise ConfigError(f"{where} cannot be used: {listed}.", problems) from None
    unknown = set(settings.train.learners) - set(BUILT_IN)
    unknown -= set(settings.learners)
    if unknown:
        raise ConfigError(
            f"{where} names the learner '{sorted(unknown)[0]}' in [train], which is not built in; "
            f"describe it in a [learners.{sorted(unknown)[0]}] table."
        )
    return settings


def settings_text(settings: Settings) -> str:
    """The inverse of :func:`parse_settings`: every setting that has a value, as the text of a riskloop.toml."""
    lines: list[str] = []
    _write_table(settings.model_dump(), (), lines)
    return "\n".join(lines) + "\n"


def _write_table(table: dict[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    if path:
        lines += ["", f"[{'.'.join(_toml(part) for part in path)}]"]
    for key, value in table.items():
        if value is not None and not isinstance(value, dict):
            lines.append(f"{_toml(key)} = {_toml(value)}")
    for key, value in table.items():
        if isinstance(value, dict):
            _write_table(value, (*path, key), lines)


def _toml(value: Any) -> str:
    if isinstance(value, timedelta):
        return _toml(duration_text(value))
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    if isinstance(value, float):
        return repr(value)  # infinity is inf in both
    return json.dumps(value, ensure_ascii=False)


def _problem(item: dict[str, Any]) -> Problem:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return Problem(path, "is not a setting (see docs/settings.md)", item["input"])
    if item["type"] == "missing":
        return Problem(path, "is missing and has no default")
    message = str(item["msg"]).removeprefix("Value error, ")
    value = None if message.startswith(_KEPT) else item["input"]
    return Problem(path, message[0].lower() + message[1:], value)
