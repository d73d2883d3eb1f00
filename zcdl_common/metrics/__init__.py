"""Scores of predictions: arrays in, numbers out, one file a kind of result."""
