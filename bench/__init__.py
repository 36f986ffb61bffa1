"""Speed, shown: load, the bare bridge as the reference, and ratios of runs taken in turn."""
