"""Losses: pure functions of vectors, one a file."""
