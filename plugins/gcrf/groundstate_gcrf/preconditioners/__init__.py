"""Approximate inverses that make conjugate gradients need fewer iterations."""
