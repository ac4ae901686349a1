"""PostgreSQL and an MQTT broker from Python wheels, for the demo, the benchmarks and the tests."""
