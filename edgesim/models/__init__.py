"""Architectures, and what their networks are made of."""
