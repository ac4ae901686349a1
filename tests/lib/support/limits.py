"""How much a test does."""

import os

ROUNDS = int(os.environ.get("FJARRKOLL_TEST_ROUNDS", "20"))
"""Kills per test; fewer while working on something else."""
