"""SQLite and artifacts: everything ortlab keeps."""
