"""What a store holds, in lines: all runs, one run, histories, failures; and how statuses look."""
