"""How capacity grows during a run: one rule per file."""
