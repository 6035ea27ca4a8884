"""Analyses of a trained network: its mistakes, and the Michel electrons that it finds."""
