"""Stand-ins for the two services callbot talks to; they share no code with the rooms that they test."""
