"""Sessions, the access log, and who sees which rows.

Marked `pre`: run before the code that needs it.
"""

from storage.migrate import run_people

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_people()
