"""What a call tells about itself: log lines, metrics, and the story and picture made from them."""
