"""Forms made from the JSON schema of an answer, and answers made from what was filled in."""
