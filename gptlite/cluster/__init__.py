"""The supercomputer and its bill, as formulas: memory, time, dollars. Nothing runs."""
