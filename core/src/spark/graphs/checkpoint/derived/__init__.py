"""What is stored beside the history of a graph, in histories of its own: messages, and who runs it."""
