"""What each device trains: one method per file."""
