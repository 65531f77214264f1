"""Style and parts that figures share."""
