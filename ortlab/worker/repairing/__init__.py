"""Repairs what inspecting found, and proves that nothing else changed."""
