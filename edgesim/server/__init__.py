"""A federation's server: events in, effects out. It has no clock."""
