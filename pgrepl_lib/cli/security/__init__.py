"""The command line's verbs for who may come in, and how he proves who he is."""
