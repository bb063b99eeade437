"""The cost of a deployment: `python -m infra.aws.cost` prints docs/cost.md, from counts, prices and the template."""
