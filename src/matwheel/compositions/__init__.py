"""Chemistry of compositions: formulas, oxidation states, charge balance, keys, features."""
