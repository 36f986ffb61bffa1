"""`python -m callbot` is `callbot`."""

from callbot.cli import main

raise SystemExit(main())
