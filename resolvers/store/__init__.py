"""Where it is kept and who gets told."""
