"""WyCryst+: screens, surrogate models, yields and figures of Wyckoff genes."""
