"""Who is sent out: one selection rule per file."""
