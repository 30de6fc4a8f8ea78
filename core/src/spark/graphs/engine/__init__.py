"""How a graph runs: one step per turn, one commit per step."""
