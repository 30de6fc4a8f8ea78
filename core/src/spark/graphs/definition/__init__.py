"""What a graph is, fixed once it is built: nodes, edges, and what a node gets to see."""
