"""The command line.  Keras is imported only when all is checked and the backend is chosen."""
