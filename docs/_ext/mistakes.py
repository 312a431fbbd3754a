"""The error that ends a build."""


class Mistake(SystemExit):
    """A mistake in the register, the tests, the stored runs or the pages, told in a line each: what, where, what to do.

    It ends sphinx-build with these lines and exit code 1. Sphinx's own errors would bury them among forty others: its
    version and the extensions', its last messages, a traceback.
    """
