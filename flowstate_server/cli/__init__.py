"""The command line: ``flowstate serve``, ``flowstate call``, ``flowstate tail``, ``flowstate store``."""
