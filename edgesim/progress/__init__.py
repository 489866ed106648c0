"""What is seen of runs while they go, on stderr and in logs."""
