"""Samples to training rows."""
