"""What a run leaves behind: tables, summary, timeline, and the directory that holds them."""
