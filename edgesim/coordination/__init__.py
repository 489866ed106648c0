"""When devices are sent out and updates merged: one policy per file."""
