# %% [markdown]
# # From a CSV to a champion, drift and a challenger
#
# A lender has two years of customers in a CSV file. Here that file comes from riskloop's own simulator, so that the
# notebook runs anywhere; put yours in its place. What follows is the whole loop by hand: train, decide, hand in what
# happened, watch, and let the gate say whether a new model may take over. In production the worker does it (`riskloop up`).

# %%
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from riskloop import Portfolio
from riskloop.simulation import SCENARIOS, Embedded, stream
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate

folder = Path("loans")
folder.mkdir()
history = simulate(month_starts(date(2023, 1, 1), 24), 250, seed=7)
history.to_csv(folder / "history.csv", index=False)
history.head(3)

# %% [markdown]
# `riskloop init` looks at the file and writes `riskloop.toml`. Read it: what each column is taken for is a guess.

# %%
import sys

!{sys.executable} -m riskloop.cli init {folder}/history.csv --target {TARGET} --id {ID} --time {TIME} --outcome-window 30d --config {folder}/riskloop.toml --yes | tail -3

# %% [markdown]
# Two settings for this notebook: one learner, so that it takes seconds, and every promotion that moves the approval rate waits for a person.

# %%
config = folder / "riskloop.toml"
text = config.read_text()
for section, lines in {"train": 'learners = ["scorecard"]\nfolds = 3', "gate": "max_approval_shift = 0.0"}.items():
    text = re.sub(rf"(?m)^(\[{section}\].*)$", rf"\1\n{lines}", text)
config.write_text(text)

portfolio = Portfolio.open(folder)
trained = portfolio.train(folder / "history.csv", now=datetime(2024, 12, 31, tzinfo=UTC))
trained.sentence

# %% [markdown]
# ## Three months of production
#
# One quiet month, then a recession: customers with the same data default more often. Each month the customers are
# decided on, the outcomes of the month before are handed in, and the loop has one cycle.

# %%
first, known = date(2025, 1, 1), None
for name, length in (("stable", 1), ("recession", 2)):
    starts = month_starts(first, length + 1)
    for month in stream(SCENARIOS[name], Embedded(), starts[:-1], 1500, 7, starts_at=0):
        start = datetime(month.start.year, month.start.month, 1, tzinfo=UTC)
        portfolio.score(month.frame)
        if known is not None:
            portfolio.record_outcomes(known)
        cycle = portfolio.cycle(now=start + timedelta(days=35))
        print(f"{start:%Y-%m}", *cycle.lines, sep="\n   ")
        known = month.frame[[ID]].assign(**{TARGET: month.target}, known_at=(start + timedelta(days=62)).isoformat())
    first = starts[-1]

# %% [markdown]
# ## Where things stand

# %%
portfolio

# %%
portfolio.plot.timeline()

# %%
portfolio.plot.performance()

# %% [markdown]
# Did the customers change, or what their data means? The score's distribution moved little; the outcomes did.

# %%
portfolio.plot.drift("score")

# %%
findings = portfolio.frames.findings().frame()
findings[findings["severity"].isin(["drifted", "severe"])][["name", "check", "subject", "statistic", "sentence"]].head(12)

# %% [markdown]
# ## The challenger
#
# The loop has trained one and asked the gate. What an approver reads is the challenger file; it ends in a fingerprint,
# and the approval is bound to it.

# %%
cases = portfolio.frames.cases().frame()
cases[["id", "diagnosis", "state", "challenger", "sentence"]]

# %%
waiting = int(cases.loc[cases["state"] == "needs_approval", "id"].iloc[-1])
file = portfolio.challenger_file(waiting)
file.frame()[["name", "champion", "challenger", "change", "lower", "upper", "limit", "passed"]].round(3)

# %%
portfolio.plot.challenger(waiting)

# %%
portfolio.approve(waiting, by="anna", note="Read the challenger file; the approval rate may fall.", evidence=file.fingerprint)
portfolio

# %% [markdown]
# ## Tables for other tools
#
# Everything on record is a table: pandas by `.frame()`, Arrow by `.arrow()`, and whatever reads the Arrow C stream takes
# the result itself, such as `polars.DataFrame(portfolio.frames.decisions())`.

# %%
decisions = portfolio.frames.decisions(since="2025-03-01", decision="decline")
decisions

# %%
decisions.frame().groupby("defaulted", dropna=False)["probability"].describe().round(3)
