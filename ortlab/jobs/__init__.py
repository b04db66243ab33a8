"""The queue, and the runner that measures one study at a time."""
