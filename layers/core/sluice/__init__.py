"""Sluice: a metered gate in front of a model."""

__version__ = "0.2.0"
