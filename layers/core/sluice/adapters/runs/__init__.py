"""Rows, queue and events of runs (`sluice.ports.runs`)."""
