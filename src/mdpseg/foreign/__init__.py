"""Weights that other libraries wrote, as the start of an encoder."""
