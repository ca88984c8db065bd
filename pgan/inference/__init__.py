"""Trained models in a program: embed images, export networks."""
