"""Where the numbers of a run are written while it goes: one kind of log per file."""
