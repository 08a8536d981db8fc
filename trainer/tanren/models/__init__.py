"""Weights and blocks of the base models."""
