"""The tables. Times are integers: microseconds since 1970-01-01 UTC, exact in every database.

Append-only by design: ``decisions``, ``segments``, ``outcomes``, ``promotions``, ``case_events``, ``case_notes``,
``audit``. A change of this file needs a migration in ``migrations/versions``; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()

# SQLite's rowid is the key itself only when the column is declared INTEGER.
_Key = BigInteger().with_variant(Integer, "sqlite")

# The last number that each table with consecutive numbers gave; see `counters`.
counters = Table(
    "counters",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# The hash chain over everything below, one committed group a row; see `chain` and docs/trust.md.
links = Table(
    "links",
    metadata,
    Column("number", _Key, primary_key=True, autoincrement=False),  # 1, 2, 3 … in the order of the commits
    Column("kind", String(40), nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # sha256 of the group
    Column("link", LargeBinary, nullable=False),  # sha256 of the link before and of this row
)
# Not over decisions, of which there are a thousand times more: writing them must stay cheap.
links_kind = Index("links_kind", links.c.kind, links.c.last_id, sqlite_where=links.c.kind != "decisions")

# What was signed about the chain: its newest link at a moment. Copies of these lie outside of the database.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),  # of the link
    Column("document", Text, nullable=False),  # JSON, the very text that was signed
    Column("signature", LargeBinary, nullable=False),  # Ed25519
    Column("placed", Boolean, nullable=False),  # outside, too
)

# One scored customer a row. The id is consecutive and given inside the commit, so a gap is a lost decision.
decisions = Table(
    "decisions",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=False),
    Column("customer_id", Text, nullable=False),
    Column("time", BigInteger, nullable=False),  # when the customer was decided on
    Column("scored_at", BigInteger, nullable=False),  # when the server computed it
    Column("model_version", Integer, nullable=False),
    Column("probability", Double, nullable=False),
    Column("is_default", SmallInteger, nullable=False),
    Column("features", LargeBinary, nullable=False),  # float64 little-endian in the model's schema order
    Column("flags", Text),  # JSON, or NULL when there is nothing to say
)
Index("decisions_customer", decisions.c.customer_id)
Index("decisions_time", decisions.c.time)

# A chunk of a file, sent with an idempotency key: sent twice, it is logged once.
chunks = Table(
    "chunks",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),  # sha256 of the body: the same key with other rows is refused
    Column("first_id", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# An immutable file of decisions with consecutive ids, scored in bulk: see `segments`. Its rows are not in `decisions`.
segments = Table(
    "segments",
    metadata,
    Column("first_id", BigInteger, primary_key=True, autoincrement=False),
    Column("rows", Integer, nullable=False),
    Column("run", String(200), nullable=False),  # the run key: the same rows under it are decided on once
    Column("number", Integer, nullable=False),  # of the part within its run
    Column("fingerprint", String(64), nullable=False),  # of all rows of the run
    Column("path", String(200), nullable=False),  # below the segments' root
    Column("sha256", String(64), nullable=False),  # of the file
    Column("model_version", Integer, nullable=False),
    Column("scored_at", BigInteger, nullable=False),
    Column("first_time", BigInteger, nullable=False),
    Column("last_time", BigInteger, nullable=False),
    Column("declined", Integer, nullable=False),
    Column("explored", Integer, nullable=False),
    Column("total", Double, nullable=False),  # sum of the probabilities
    Column("profile", LargeBinary),
    UniqueConstraint("run", "number", name="segments_run"),
)

# Requests that were refused, counted by hour, field and problem: a broken feed shows here first.
refusals = Table(
    "refusals",
    metadata,
    Column("hour", BigInteger, primary_key=True),
    Column("field", String(200), primary_key=True),
    Column("code", String(100), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# What happened. A later row for the same decision corrects the earlier one; nothing is overwritten.
outcomes = Table(
    "outcomes",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),  # given by a counter, in the order of the commits
    Column("decision_id", BigInteger, nullable=False),
    Column("defaulted", SmallInteger, nullable=False),
    Column("known_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
Index("outcomes_decision", outcomes.c.decision_id, outcomes.c.id)

# What was handed in together, by a file or a request. Its outcomes have consecutive ids; a repeated file has none.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("first_id", BigInteger),  # outcome ids
    Column("last_id", BigInteger),
    Column("recorded", Integer, nullable=False),
    Column("repeated", Integer, nullable=False),
    Column("corrected", Integer, nullable=False),
    Column("unmatched", Integer, nullable=False),
    Column("complete_until", BigInteger),  # the watermark, exclusive: what was final before it is reported
    Column("reason", Text),  # why the watermark goes back to that; NULL: it only rises
    Column("definition", String(60), nullable=False),  # version of the definition of default
    Column("examined", Boolean, nullable=False),
    Column("held", Boolean, nullable=False),  # in quarantine: kept, and counted nowhere
    Column("case_id", Integer),
    Column("findings", Text, nullable=False),  # JSON
)

# How many decisions each hour has, and what is known of them: counted by the worker, so that nobody counts the log to
# say how far the outcome feed is complete. See `tallies`; it can be made again from the log at any time.
tallies = Table(
    "tallies",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),  # of the decisions, since 1970
    Column("approved", BigInteger, nullable=False),
    Column("reported", BigInteger, nullable=False),  # approved ones with an outcome
    Column("declined", BigInteger, nullable=False),
    Column("explored", BigInteger, nullable=False),  # of the approved
    Column("learned", BigInteger, nullable=False),  # explored ones with an outcome
)

# Up to where `tallies` goes: one row, or none.
tallied = Table(
    "tallied",
    metadata,
    Column("decisions", BigInteger, primary_key=True, autoincrement=False),  # the last one that is counted
    Column("outcomes", BigInteger, nullable=False),  # the last one that is counted
    Column("archived", BigInteger, nullable=False),  # decisions up to this one had left the log
    Column("held", Text, nullable=False),  # JSON: first and last ids of the outcomes that were in quarantine
)

models = Table(
    "models",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", BigInteger, nullable=False),
    Column("learner", String(100), nullable=False),
    Column("artefact", String(200), nullable=False),  # folder name below the artefacts' root
    Column("sha256", String(64), nullable=False),  # of the manifest, which holds the hash of every file
    Column("parent", Integer),
    Column("origin", String(40), nullable=False),  # "train", "retrain", "recalibrate", "import"
    Column("auc", Double, nullable=False),  # cross-validated at training
    Column("case_id", Integer),
    Column("registered_by", String(200)),  # NULL: before it was kept
    Column("signature", LargeBinary),  # Ed25519 over version and sha256; NULL: registered without a key
)

promotions = Table(
    "promotions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),  # the compare-and-swap: seq + 1 can be taken once
    Column("version", Integer, ForeignKey("models.version"), nullable=False),
    Column("previous", Integer),
    Column("kind", String(20), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON
)

windows = Table(
    "windows",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1, 2, 3 … in time order
    Column("name", String(40), nullable=False),  # "2025-03", "2025-W12", "#7"
    Column("first_time", BigInteger, nullable=False),
    Column("end_time", BigInteger, nullable=False),  # exclusive
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("model_version", Integer, nullable=False),  # the champion that it is compared with
    Column("closed_at", BigInteger, nullable=False),
    Column("matured_at", BigInteger),  # when it was last judged with its outcomes; NULL: not yet
    Column("judged_with", BigInteger),  # the highest outcome id then
    Column("diagnosis", String(40), nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("action", String(20), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("rungs", Text, nullable=False),  # JSON
    Column("profile", LargeBinary, nullable=False),
    Column("report", Text),  # path of Evidently's page below the reports' root
    Column("quarantined", Boolean, nullable=False),
    Column("case_id", Integer),
    Column("counted", Boolean, nullable=False, server_default=false()),  # by a fixed number of decisions
)

findings = Table(
    "findings",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("window_id", Integer, ForeignKey("windows.id"), nullable=False),
    Column("check", String(60), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("statistic", Double),
    Column("critical", Double),
    Column("document", Text, nullable=False),  # the whole finding as JSON
)
Index("findings_window", findings.c.window_id)

cases = Table(
    "cases",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("state", String(30), nullable=False),
    Column("diagnosis", String(40), nullable=False),
    Column("window_id", Integer, nullable=False),  # the first finding's window
    Column("challenger", Integer),  # model version
    Column("tries", Integer, nullable=False),  # how often a challenger went to the gate
    Column("sentence", Text, nullable=False),
    Column("champion", Integer),  # version that the findings, and the latest challenger, are held against
    Column("learned", Integer, nullable=False, server_default="0"),  # outcomes of the new world at the latest try
    Column("wait_for", Integer),  # outcomes of the new world from which it is tried again
    Column("looked", Integer),  # outcomes at the last look whether the champion still ranks worse
    Column("closed_by", String(200)),
    Column("harmed", Integer),  # version that outcomes showed to do worse than at its training
    Column("unresolved", Boolean, nullable=False, server_default=false()),  # closed, and a harm is not mended
)

case_events = Table(
    "case_events",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("case_id", Integer, ForeignKey("cases.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("state", String(30), nullable=False),
    Column("by", String(200), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("document", Text, nullable=False),  # JSON of `cases.events`
)
Index("case_events_case", case_events.c.case_id, case_events.c.id)

# What people said about a case; it moves nothing.
case_notes = Table(
    "case_notes",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("case_id", Integer, ForeignKey("cases.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("kind", String(20), nullable=False),  # of `cases.people.NoteKind`
    Column("person", String(200)),  # of an assignment; NULL: to nobody any more
    Column("text", Text, nullable=False),
)
Index("case_notes_case", case_notes.c.case_id, case_notes.c.id)

# Every test of a challenger by the gate, whoever asked: what the alpha budget was spent on.
gate_tries = Table(
    "gate_tries",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("case_id", Integer),  # NULL: a person asked
    Column("champion", Integer, nullable=False),
    Column("challenger", Integer),
    Column("alpha", Double, nullable=False),
    Column("evidence", String(64), nullable=False),  # fingerprint of labels and scores: the same twice is one try
)
Index("gate_tries_champion", gate_tries.c.champion, gate_tries.c.at)

# How far the watch over each promoted champion has come.
probations = Table(
    "probations",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),  # of the promotion
    Column("state", String(20), nullable=False),
    Column("spent", Double, nullable=False),  # of the probation's alpha
    Column("matured", BigInteger, nullable=False),  # outcomes at the last look at outcomes
    Column("decisions", BigInteger, nullable=False),  # at the last look at estimates
    Column("at", BigInteger, nullable=False),
    Column("sentence", Text, nullable=False),
)

# What people were told of, by channel, and what waits to be sent.
notices = Table(
    "notices",
    metadata,
    Column("subject", String(200), primary_key=True),
    Column("channel", String(60), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    Column("alert", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("document", Text, nullable=False),  # JSON
)

Index("audit_by", audit.c.by, audit.c.id)
Index("audit_action", audit.c.action, audit.c.id)

# Decisions whose personal part was erased: what stays is its digest, so that the chain can still be recomputed.
erasures = Table(
    "erasures",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("decision_id", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("personal", LargeBinary, nullable=False),  # sha256 of customer, features and flags as they were committed
)
Index("erasures_decision", erasures.c.decision_id)

# What retention took out: a run of decisions or of audit events with consecutive numbers, and where it lies now.
archives = Table(
    "archives",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),  # "decisions", "features" or "audit"
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("path", String(200)),  # below the archive's root; NULL: kept nowhere
    Column("sha256", String(64)),  # of the file
    Column("link", BigInteger),  # the last link whose decisions are all archived with these
    Column("personal", LargeBinary),  # "features": the digest of each personal part that went, 32 bytes each
)
Index("archives_kind", archives.c.kind, archives.c.last_id)

# What versions that do not serve would have said of logged decisions, a run of consecutive ones a row; see `shadow`.
shadow_scores = Table(
    "shadow_scores",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("version", Integer, nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),  # first_id - 1 in the row that says where the shadow begins
    Column("at", BigInteger, nullable=False),
    Column("scored", Integer, nullable=False),  # of them; the others are erased, or were made on other columns
    Column("both_decline", Integer, nullable=False),
    Column("only_shadow_declines", Integer, nullable=False),
    Column("only_champion_declines", Integer, nullable=False),
    Column("total", Double, nullable=False),  # sum of the shadow's probabilities
    Column("champion_total", Double, nullable=False),  # of the logged ones
    Column("probabilities", LargeBinary, nullable=False),  # float64 little-endian, one each; NaN: not scored, or erased
)
Index("shadow_scores_version", shadow_scores.c.version, shadow_scores.c.last_id)

leases = Table(
    "leases",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

# How the last cycle of the loop ended: one row, which the migration makes.
cycles = Table(
    "cycles",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("finished_at", BigInteger),  # NULL: none yet
    Column("failures", Integer, nullable=False),  # in a row, since then
    Column("problem", Text),  # of the last one
    Column("given_up", Boolean, nullable=False),  # the worker ended too often and is not started again
)

keys = Table(
    "keys",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("role", String(200), nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("expires_at", BigInteger),  # NULL: never
    Column("former_salt", LargeBinary),  # the secret before the last rotation …
    Column("former_digest", LargeBinary),
    Column("former_until", BigInteger),  # … and until when it is still valid
)

# People who log in with a password.
users = Table(
    "users",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("role", String(200), nullable=False),
    Column("password", String(200), nullable=False),  # scrypt with its parameters and salt
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# Who is logged in. The browser has the token, this table its hash.
sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("kind", String(20), nullable=False),  # "key", "user" or "sso"
    Column("name", String(200), nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("role", String(200)),  # of single sign-on: what the groups allowed; keys and users are looked up
)

# Failed logins, by name and by address, so that every worker slows the next one down.
attempts = Table(
    "attempts",
    metadata,
    Column("subject", String(300), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
)
