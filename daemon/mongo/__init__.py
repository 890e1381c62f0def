"""MongoDB as this product uses it: clients, collections, indexes, the embedded server."""
