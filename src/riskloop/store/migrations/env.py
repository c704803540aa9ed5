"""Alembic's entry point; the connection comes from `upgrade`."""

from alembic import context

from riskloop.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
