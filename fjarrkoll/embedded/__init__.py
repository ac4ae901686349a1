"""A database, a broker and a sign-in service of our own, for the demo, benchmarks and tests."""
