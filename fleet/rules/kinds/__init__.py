"""The evaluators: one module each, with its parameters as a table and one pure method."""
