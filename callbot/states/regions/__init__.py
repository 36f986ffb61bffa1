"""The regions of a call: what is the case beside the state, one file each.

A region is a small closed union of frozen values with a pure `advance`, which is run for every event before the state
decides. A fact is noticed in its region and nowhere else. Which region looks at which is in `states/record.py`.
"""
