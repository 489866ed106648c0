"""What must hold in any run (design section 6), law by law, re-derived from its tables alone."""
