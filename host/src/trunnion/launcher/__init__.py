"""The command line. Everything it uses is imported when it is used."""
