"""What touches private parts of Hypercorn, Quart and uvloop. Each use has a test that fails when the part changes."""
