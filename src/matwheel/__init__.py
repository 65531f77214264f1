"""matwheel: generate, screen, validate and learn again, for inorganic crystals."""
