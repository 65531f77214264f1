"""matwheel: generate, screen, validate and learn again, for inorganic crystals."""

from matwheel.core.old_names import understand_old_names

understand_old_names()
