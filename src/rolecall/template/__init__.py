"""Chat templates in Jinja, run so that the origin of every character is known."""
