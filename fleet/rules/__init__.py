"""Rules: what to conclude from what devices reported. A rule is data; an evaluator is pure."""
