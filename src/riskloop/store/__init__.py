"""What must survive: the database, the decision log, the ledger, the artefacts."""
