"""Groups of commands, one module each; `fjarrkoll.cli` puts them together."""
