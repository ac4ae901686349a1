"""The device contract, version 1: topics, records, state and acknowledgements as pure functions."""
