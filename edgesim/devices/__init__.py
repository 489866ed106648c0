"""Devices as the virtual clock sees them: profiles, networks, stragglers, fleets and what a visit costs."""
