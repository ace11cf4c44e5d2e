"""Programs around the page: ``python -m tools.NAME``."""
