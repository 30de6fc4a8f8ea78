"""What lets steps and runs continue, or stops them, from outside: times, messages, attempts, requests."""
