"""The benchmarks behind docs/benchmarks.md: real servers, one machine, everything on loopback."""
