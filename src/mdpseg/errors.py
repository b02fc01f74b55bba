"""The one error that users are meant to see."""


class UserError(ValueError):
    """Something in the user's input is wrong; the message says what, where and what to do.

    The command line prints the message alone and exits with code 2. It derives from ValueError, so that callers from
    Python may catch it as the ordinary complaint about a value.
    """
