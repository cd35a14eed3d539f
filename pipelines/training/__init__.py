"""How the bundled models are made: recipes, their data, and the run that carries any of them out."""
