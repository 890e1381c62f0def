"""What admins ask for, by HTTP or command line: the same functions for both, straight on MongoDB."""
