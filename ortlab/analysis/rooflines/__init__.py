"""What each node does against what the machine was measured to reach."""
