"""How updates are merged: one rule per file."""
