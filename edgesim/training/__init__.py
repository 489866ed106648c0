"""Local training, accounting and the learners of both kinds."""
