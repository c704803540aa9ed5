# %% [markdown]
# # A validator reads a champion's record
#
# The portfolio is the one that the first notebook made. A validator wants to know: what serves, how was it made, does
# it still hold, who decided that, and is the record itself to be trusted? Nothing here changes anything but the audit
# trail, which says that it was read.

# %%
from riskloop import Portfolio

portfolio = Portfolio.open("loans")
portfolio

# %% [markdown]
# ## What serves, and how it was made

# %%
champion = portfolio.model()
champion.version, champion.learner, champion.training["rows"], champion.metrics["auc"]

# %%
portfolio.frames.models()

# %% [markdown]
# Which version decided in March, and by whose decision? The ledger of promotions says it for every moment.

# %%
from datetime import UTC, datetime

portfolio.champion_at(datetime(2025, 3, 15, tzinfo=UTC)).sentence

# %% [markdown]
# ## Can it be made again?
#
# The version is trained a second time from what is on record, and every byte is compared.

# %%
portfolio.rebuild(champion.version).sentence

# %% [markdown]
# ## Does it hold?
#
# PD and default rate by grade in the newest window whose outcomes are final, and Jeffreys' test of every grade in every
# window.

# %%
portfolio.plot.calibration()

# %%
findings = portfolio.frames.findings().frame()
grades = findings[findings["check"] == "jeffreys"]
grades.pivot_table(index="name", columns="subject", values="severity", aggfunc="first")

# %% [markdown]
# ## A single decision
#
# Scored again by the model of its day, from the row that was logged: the same to the last bit.

# %%
replayed = portfolio.replay(1)
replayed.identical, replayed.sentence

# %% [markdown]
# ## Who did what

# %%
portfolio.record.events(limit=200)[["at", "by", "action", "subject"]].drop_duplicates(["by", "action", "subject"]).head(12)

# %% [markdown]
# ## Is the record what was committed?
#
# Everything is recomputed and held against its chain and the signed checkpoints. What that cannot show is listed, too.

# %%
proof = portfolio.record.verify()
print(proof.sentence, *proof.limits, sep="\n")

# %% [markdown]
# ## The report to file
#
# The same as `riskloop document model`, as one HTML file; Word and PDF need an extra and Chromium.

# %%
report = portfolio.document("model")
report.save(report.file), f"{len(report.content) / 1024:.0f} KiB", report.fingerprint[:16]
