"""From a due execution to its recorded end: lanes, loader, executor, group commit."""
