"""Pages that change what is stored: each asks first, shows the equal command, and says what happened."""
