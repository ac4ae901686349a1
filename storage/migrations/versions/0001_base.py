"""The first schema.

Marked `pre`: run before the code that needs it.
"""

from storage.migrate import run_base

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_base()
