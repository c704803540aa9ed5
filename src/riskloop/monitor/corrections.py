"""Is what a delivery corrects as much as reports are ever corrected, of each class?

Of all outcomes all defaults of a rare book are few: who withdraws them changes nearly nothing, and learns that nobody
defaults. So defaults withdrawn are counted of the defaults, and good customers turned into defaults beside the defaults
that the PDs expect among the same customers.
"""

from dataclasses import dataclass
from math import log
from typing import Final

from scipy.stats import binom, poisson

from riskloop.core.english import counted
from riskloop.core.findings import WINDOW, DeclaredCheck
from riskloop.core.types import Finding, Severity
from riskloop.monitor.lateness import RARE

CORRECTED: Final = DeclaredCheck(
    "labels_corrected",
    "few reports have to be corrected",
    "Share of known outcomes that a delivery changes, and of each class (binomial, Poisson); this project",
)
MOST_CORRECTED: Final = 0.10  # of what is known about these customers, and of their defaults
FEW_CORRECTED: Final = 20  # of all are no sign of anything
FAR: Final = 3.0  # times too many or too few defaults are left
LEAST_CORRECTED: Final = 5  # below so many no class is looked at: chance gives them


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a group of deliveries changes about customers who were decided on when the corrected ones were."""

    defaults: int  # that were known before
    goods: int
    withdrawn: int  # defaults that are good now
    turned: int  # good customers who are defaults now
    expected: float  # defaults among all of them, by the PDs of the decisions

    @property
    def left(self) -> int:
        """Defaults after the corrections."""
        return self.defaults - self.withdrawn + self.turned

    @property
    def leads_away(self) -> bool:
        """Whether the defaults are far from those expected, and farther than before: a sound correction leads there.

        On the log scale, so that half of them is as far as twice; ½ is added, so that none is not infinitely far.
        Months whose defaults move together are off by a half and more by themselves.
        """
        before, after = (abs(log((known + 0.5) / (self.expected + 0.5))) for known in (self.defaults, self.left))
        return after > max(before, log(FAR))

    @property
    def withdraws(self) -> bool:
        """Whether more of the defaults are withdrawn than chance gives where a tenth is."""
        return float(binom.sf(self.withdrawn - 1, self.defaults, MOST_CORRECTED)) < RARE

    @property
    def turns(self) -> bool:
        """Whether more good customers become defaults than chance gives of all the defaults that are expected."""
        return float(poisson.sf(self.turned - 1, self.expected)) < RARE


def corrected_finding(reports: int, corrected: int, known: int, classes: Corrections | None = None) -> Finding:
    """What is to be said of ``corrected`` of the ``known`` outcomes, in a delivery of so many ``reports``."""
    share = corrected / max(1, known)
    sentence = f"{corrected:,} of {known:,} known outcomes of these customers are corrected at once."
    fault = corrected >= FEW_CORRECTED and share > MOST_CORRECTED
    if not fault and classes is not None and classes.leads_away and (classes.withdraws or classes.turns):
        fault = True
        what = (
            f"{classes.withdrawn:,} of {counted(classes.defaults, 'known default')} are withdrawn at once"
            if classes.withdraws
            else f"{classes.turned:,} of {counted(classes.goods, 'good customer')} are turned into defaults at once"
        )
        sentence = (
            f"{what}; that leaves {counted(classes.left, 'default')} where the PDs of these customers expected "
            f"{classes.expected:,.0f}."
        )
    details = (
        {}
        if classes is None
        else {name: getattr(classes, name) for name in ("defaults", "goods", "withdrawn", "turned", "expected")}
    )
    return CORRECTED.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (reports, known),
        sentence,
        statistic=share,
        critical=MOST_CORRECTED,
        details=details,
    )
