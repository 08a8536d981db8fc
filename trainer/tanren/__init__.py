"""Tanren: train, look into and edit LoRAs for Stable Diffusion."""

__version__ = "0.1.0"
