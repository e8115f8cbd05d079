"""What was asked, what was answered, and what turned out to be true: the log of every prediction served."""
