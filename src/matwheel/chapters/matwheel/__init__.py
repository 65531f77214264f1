"""MatWheel: Table 2, its contrasts, the generator cards, displaced copies as further rows."""
