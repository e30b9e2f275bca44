"""The platform in containers, from the outside: secrets, start, state, release.

Standard library only: whoever deploys has Python and Docker, and need not make an environment first.
"""
