"""Quadratic energies over labels, pixels and frames, each a matrix and a linear term."""
