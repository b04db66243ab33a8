"""Files that people take away: code, recipes, reports."""
