"""Limits on what comes from outside: how much, how often, how large, and how refusals are told."""
