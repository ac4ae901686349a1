"""Rules, findings, loans, placements, deadlines.

Marked `pre`: run before the code that needs it.
"""

from storage.migrate import run_rules

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_rules()
