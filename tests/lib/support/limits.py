"""How much a test does."""

import os

ROUNDS = int(os.environ.get("FJARRKOLL_TEST_ROUNDS", "5"))
"""Kills per test. A release is tried with 20 (README)."""
