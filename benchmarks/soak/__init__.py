"""An hour of everything at once, and what must be true afterwards. Figures: docs/performance.md."""
