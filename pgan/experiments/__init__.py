"""Experiments of many training runs: sweeps, papers, recipes, studies and the demo."""
