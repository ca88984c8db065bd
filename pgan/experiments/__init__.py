"""Many trainings, one table: sweeps, papers, recipes, studies and the demo."""
