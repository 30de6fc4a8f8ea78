"""How a graph is checkpointed: arguments, the environment and files of settings."""
